;; A kernel like Extism's, as far as the companion uses it, that counts every use that is not honest: of a word outside
;; of every living block, of an end that is no block. What is new in a block is 0xa5, so that nobody takes it for nothing.
(module
  (memory (export "memory") 1)
  (memory $words 1)  ;; of each word of memory: 1 it belongs to a block, 2 a block begins there
  (global $top (mut i32) (i32.const 8))
  (global $freed (mut i32) (i32.const 0))
  (global $input (mut i32) (i32.const 0))
  (global $input_bytes (mut i32) (i32.const 0))
  (global $room (export "room") (mut i64) (i64.const 0x40000000))
  (global $living (export "living") (mut i32) (i32.const 0))  ;; blocks
  (global $dishonest (export "dishonest") (mut i32) (i32.const 0))
  (global $output (export "output") (mut i64) (i64.const 0))
  (global $output_bytes (export "output_bytes") (mut i64) (i64.const 0))

  (func $word (param $at i64) (result i32)
    (if (i64.ge_u (local.get $at) (i64.extend_i32_u (global.get $top))) (then (return (i32.const 0))))
    (if (i64.ne (i64.and (local.get $at) (i64.const 7)) (i64.const 0)) (then (return (i32.const 0))))
    (i32.load8_u $words (i32.wrap_i64 (i64.shr_u (local.get $at) (i64.const 3)))))

  (func $blame
    (global.set $dishonest (i32.add (global.get $dishonest) (i32.const 1))))

  ;; A block has 8 bytes before it: how long it is, and how much room it has. A freed one holds the next of them.
  (func (export "alloc") (param $bytes i64) (result i64)
    (local $room i32) (local $at i32) (local $last i32)
    (if (i64.eqz (local.get $bytes)) (then (return (i64.const 0))))
    (if (i64.gt_u (local.get $bytes) (global.get $room)) (then (return (i64.const 0))))
    (local.set $room (i32.and (i32.add (i32.wrap_i64 (local.get $bytes)) (i32.const 7)) (i32.const -8)))
    (local.set $at (global.get $freed))
    (block $found
      (loop $search
        (br_if $found (i32.eqz (local.get $at)))
        (br_if $found (i32.ge_u (i32.load (i32.sub (local.get $at) (i32.const 4))) (local.get $room)))
        (local.set $last (local.get $at))
        (local.set $at (i32.load (local.get $at)))
        (br $search)))
    (if (local.get $at)
      (then
        (if (local.get $last)
          (then (i32.store (local.get $last) (i32.load (local.get $at))))
          (else (global.set $freed (i32.load (local.get $at))))))
      (else
        (local.set $at (i32.add (global.get $top) (i32.const 8)))
        (global.set $top (i32.add (local.get $at) (local.get $room)))
        (call $extend)
        (i32.store (i32.sub (local.get $at) (i32.const 4)) (local.get $room))))
    (i32.store (i32.sub (local.get $at) (i32.const 8)) (i32.wrap_i64 (local.get $bytes)))
    (memory.fill (local.get $at) (i32.const 0xa5) (local.get $room))
    (memory.fill $words (i32.shr_u (local.get $at) (i32.const 3)) (i32.const 1)
      (i32.shr_u (local.get $room) (i32.const 3)))
    (i32.store8 $words (i32.shr_u (local.get $at) (i32.const 3)) (i32.const 2))
    (global.set $living (i32.add (global.get $living) (i32.const 1)))
    (i64.extend_i32_u (local.get $at)))

  (func $extend
    (loop $more
      (if (i32.gt_u (global.get $top) (i32.shl (memory.size) (i32.const 16)))
        (then
          (drop (memory.grow (memory.size)))
          (drop (memory.grow $words (memory.size $words)))
          (br $more)))))

  (func (export "free") (param $at i64)
    (local $block i32)
    (if (i32.ne (call $word (local.get $at)) (i32.const 2))
      (then
        (call $blame)
        (return)))
    (global.set $living (i32.sub (global.get $living) (i32.const 1)))
    (local.set $block (i32.wrap_i64 (local.get $at)))
    (memory.fill $words (i32.shr_u (local.get $block) (i32.const 3)) (i32.const 0)
      (i32.shr_u (i32.load (i32.sub (local.get $block) (i32.const 4))) (i32.const 3)))
    (i32.store (local.get $block) (global.get $freed))
    (global.set $freed (local.get $block)))

  (func $length (export "length") (param $at i64) (result i64)
    (if (i32.ne (call $word (local.get $at)) (i32.const 2)) (then (return (i64.const 0))))
    (i64.load32_u (i32.sub (i32.wrap_i64 (local.get $at)) (i32.const 8))))
  (func (export "length_unsafe") (param i64) (result i64)
    (call $length (local.get 0)))

  (func (export "load_u64") (param $at i64) (result i64)
    (if (i32.eqz (call $word (local.get $at)))
      (then
        (call $blame)
        (return (i64.const -1))))
    (i64.load (i32.wrap_i64 (local.get $at))))

  (func (export "store_u64") (param $at i64) (param $value i64)
    (if (i32.eqz (call $word (local.get $at)))
      (then
        (call $blame)
        (return)))
    (i64.store (i32.wrap_i64 (local.get $at)) (local.get $value)))

  (func (export "input_set") (param $at i64) (param $bytes i64)
    (global.set $input (i32.wrap_i64 (local.get $at)))
    (global.set $input_bytes (i32.wrap_i64 (local.get $bytes))))
  (func (export "input_length") (result i64) (i64.extend_i32_u (global.get $input_bytes)))
  (func (export "input_load_u8") (param $at i64) (result i32)
    (if (i64.ge_u (local.get $at) (i64.extend_i32_u (global.get $input_bytes))) (then (return (i32.const 0))))
    (i32.load8_u (i32.add (global.get $input) (i32.wrap_i64 (local.get $at)))))
  (func (export "input_load_u64") (param $at i64) (result i64)
    (if (i64.gt_u (i64.add (local.get $at) (i64.const 8)) (i64.extend_i32_u (global.get $input_bytes)))
      (then (return (i64.const 0))))
    (i64.load (i32.add (global.get $input) (i32.wrap_i64 (local.get $at)))))

  (func (export "output_set") (param $at i64) (param $bytes i64)
    (global.set $output (local.get $at))
    (global.set $output_bytes (local.get $bytes)))

  ;; A call begins: nothing of the one before is left.
  (func (export "reset")
    (memory.fill $words (i32.const 0) (i32.const 0) (i32.shr_u (global.get $top) (i32.const 3)))
    (global.set $top (i32.const 8))
    (global.set $freed (i32.const 0))
    (global.set $living (i32.const 0))
    (global.set $input_bytes (i32.const 0))
    (global.set $output_bytes (i64.const 0))))

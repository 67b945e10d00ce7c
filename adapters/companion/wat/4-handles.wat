;; What a guest does with blocks: it makes, finds, reads, writes and frees them. Whatever it does that nobody could make
;; good is a fault: the host is told, and the call ends there (see $fault). The reasons:
;;
;;     1 stale: the block has gone   2 beyond the block's end   3 a handle that was never given out   4 no room
;;     5 Extism's own HTTP client    6 an answer of the host's that is not understood   7 a request that is too large
;;     8 an output that is too large   9 the block has gone for want of room   10 more than a block may have

(func $fault (param $reason i32) (param $handle i64)
  (drop
    (call $cross (i32.const 2) (i32.const 0) (i32.const 0)
      (local.get $handle) (i64.extend_i32_u (local.get $reason))))
  (unreachable))

;; A new block, the guest's alone. 0 bytes are no block, as in Extism. Faults if there is no room.
(func $alloc (export "env.alloc") (param $length i64) (result i64)
  (local $order i32) (local $piece i32) (local $entry i32) (local $handle i64)
  (if (i64.eqz (local.get $length)) (then (return (i64.const 0))))
  (if (i64.gt_u (local.get $length) (i64.const 0x3fffff8))
    (then (call $fault (i32.const 10) (local.get $length))))
  (local.set $order
    (i32.sub (i32.const 64) (i32.wrap_i64 (i64.clz (i64.add (local.get $length) (i64.const 7))))))
  (if (i32.lt_u (local.get $order) (i32.const 5))
    (then (local.set $order (i32.const 5))))
  (loop $again
    (local.set $piece (call $take_piece (local.get $order)))
    (if (i32.eqz (local.get $piece))
      (then
        (br_if $again (call $squeeze))
        (call $fault (i32.const 4) (local.get $length)))))
  (local.set $entry (call $new_entry (local.get $length)))
  (local.set $handle (i64.load (local.get $entry)))
  (i32.store offset=8 (local.get $entry) (i32.add (local.get $piece) (i32.const 8)))
  (i32.store offset=12 (local.get $entry) (i32.wrap_i64 (local.get $length)))
  (i32.store offset=24 (local.get $entry) (local.get $order))
  (i32.store offset=28 (local.get $entry) (i32.const 1))
  (call $append (local.get $entry))
  ;; What may be read beyond the last byte, up to a multiple of eight, is nothing.
  (i64.store
    (i32.add (local.get $piece) (call $padded (i32.wrap_i64 (local.get $length))))
    (i64.const 0))
  (local.get $handle))

;; An entry with a handle that was never used. There are fresh slots, those in use, and those in the queue of idle ones,
;; which is kept long, so that generations grow slowly and handles stay below 2^53 for long.
(func $new_entry (param $length i64) (result i32)
  (local $entry i32)
  (loop $again
    (if (i32.gt_u (global.get $idle)
          (select (i32.const 16384) (i32.const 0) (i32.lt_u (global.get $slots) (i32.const 65535))))
      (then
        (local.set $entry (call $entry (global.get $idle_first)))
        (global.set $idle_first (i32.load offset=20 (local.get $entry)))
        (global.set $idle (i32.sub (global.get $idle) (i32.const 1)))
        (i64.store (local.get $entry)
          (i64.add (i64.load (local.get $entry)) (i64.const 0x40000000000)))
        (if (i64.ge_u (i64.shr_u (i64.load (local.get $entry)) (i64.const 42)) (global.get $generations))
          (then (global.set $worn (i32.const 1))))
        (return (local.get $entry))))
    (if (i32.ge_u (global.get $slots) (i32.const 65535))
      (then
        (br_if $again (call $squeeze))
        (call $fault (i32.const 4) (local.get $length)))))
  (local.set $entry (call $entry (global.get $slots)))
  (i64.store (local.get $entry) (i64.shl (i64.extend_i32_u (global.get $slots)) (i64.const 26)))
  (global.set $slots (i32.add (global.get $slots) (i32.const 1)))
  (local.get $entry))

;; The entry of the block that a handle points into; 0 if there never was one. Faults if the block has gone.
(func $find (param $handle i64) (result i32)
  (local $entry i32) (local $base i64) (local $state i32)
  (local.set $entry (call $entry_of (local.get $handle)))
  (local.set $base (call $base (local.get $handle)))
  (local.set $state (call $state (local.get $entry)))
  (if (i32.eqz (local.get $state)) (then (return (i32.const 0))))
  (if (i64.gt_u (local.get $base) (i64.load (local.get $entry))) (then (return (i32.const 0))))
  (if (i32.or
        (i64.ne (local.get $base) (i64.load (local.get $entry)))
        (i32.gt_u (local.get $state) (i32.const 3)))
    (then
      (call $fault
        (select (i32.const 9) (i32.const 1)
          (i32.and
            (i64.eq (local.get $base) (i64.load (local.get $entry)))
            (i32.eq (local.get $state) (i32.const 6))))
        (local.get $handle))))
  (local.get $entry))

;; Whether a block is there, named by its first byte.
(func $is_there (param $handle i64) (result i32)
  (local $entry i32)
  (local.set $entry (call $entry_of (local.get $handle)))
  (i32.and
    (i64.eq (i64.load (local.get $entry)) (local.get $handle))
    (i32.lt_u (i32.sub (call $state (local.get $entry)) (i32.const 1)) (i32.const 3))))

;; Where so many bytes at a handle are, in our own memory. The block becomes the one that was used last.
(func $at (param $handle i64) (param $bytes i64) (result i32)
  (local $entry i32) (local $offset i64) (local $length i64)
  (local.set $entry (call $find (local.get $handle)))
  (if (i32.eqz (local.get $entry))
    (then (call $fault (i32.const 3) (local.get $handle))))
  (call $touch (local.get $entry))
  (local.set $offset (i64.sub (local.get $handle) (i64.load (local.get $entry))))
  (local.set $length (i64.extend_i32_u (call $padded (i32.load offset=12 (local.get $entry)))))
  (global.set $at_handle (i64.load (local.get $entry)))
  (global.set $at_byte (i32.load offset=8 (local.get $entry)))
  (global.set $at_bytes (local.get $length))
  (global.set $at_words (i64.sub (local.get $length) (i64.const 7)))
  (if (i64.gt_u (i64.add (local.get $offset) (local.get $bytes)) (local.get $length))
    (then (call $fault (i32.const 2) (local.get $handle))))
  (i32.add (global.get $at_byte) (i32.wrap_i64 (local.get $offset))))

;; The entry of a block that crosses the border, named by its first byte. Faults if there is none.
(func $passed (param $handle i64) (result i32)
  (local $entry i32)
  (local.set $entry (call $find (local.get $handle)))
  (if (i32.or
        (i32.eqz (local.get $entry))
        (i64.ne (local.get $handle) (call $base (local.get $handle))))
    (then (call $fault (i32.const 3) (local.get $handle))))
  (call $cross_block (local.get $entry))
  (local.get $entry))

(func (export "env.load_u8") (param $handle i64) (result i32)
  (local $offset i64)
  (local.set $offset (i64.sub (local.get $handle) (global.get $at_handle)))
  (i32.load8_u
    (if (result i32) (i64.lt_u (local.get $offset) (global.get $at_bytes))
      (then (i32.add (global.get $at_byte) (i32.wrap_i64 (local.get $offset))))
      (else (call $at (local.get $handle) (i64.const 1))))))

(func (export "env.load_u64") (param $handle i64) (result i64)
  (local $offset i64)
  (local.set $offset (i64.sub (local.get $handle) (global.get $at_handle)))
  (i64.load align=1
    (if (result i32) (i64.lt_u (local.get $offset) (global.get $at_words))
      (then (i32.add (global.get $at_byte) (i32.wrap_i64 (local.get $offset))))
      (else (call $at (local.get $handle) (i64.const 8))))))

(func (export "env.store_u8") (param $handle i64) (param $value i32)
  (local $offset i64)
  (local.set $offset (i64.sub (local.get $handle) (global.get $at_handle)))
  (i32.store8
    (if (result i32) (i64.lt_u (local.get $offset) (global.get $at_bytes))
      (then (i32.add (global.get $at_byte) (i32.wrap_i64 (local.get $offset))))
      (else (call $at (local.get $handle) (i64.const 1))))
    (local.get $value)))

(func (export "env.store_u64") (param $handle i64) (param $value i64)
  (local $offset i64)
  (local.set $offset (i64.sub (local.get $handle) (global.get $at_handle)))
  (i64.store align=1
    (if (result i32) (i64.lt_u (local.get $offset) (global.get $at_words))
      (then (i32.add (global.get $at_byte) (i32.wrap_i64 (local.get $offset))))
      (else (call $at (local.get $handle) (i64.const 8))))
    (local.get $value)))

;; The length of a block; 0, as in Extism, for one that the guest has freed, and where no block begins.
(func $length (export "env.length") (param $handle i64) (result i64)
  (local $entry i32)
  (local.set $entry (call $entry_of (local.get $handle)))
  (if (i64.ne (local.get $handle) (call $base (local.get $handle)))
    (then (return (i64.const 0))))
  (if (i32.and
        (i64.eq (i64.load (local.get $entry)) (local.get $handle))
        (i32.or
          (i32.eq (call $state (local.get $entry)) (i32.const 3))
          (i32.eq (call $state (local.get $entry)) (i32.const 4))))
    (then (return (i64.const 0))))
  (local.set $entry (call $find (local.get $handle)))
  (if (i32.eqz (local.get $entry)) (then (return (i64.const 0))))
  (i64.load32_u offset=12 (local.get $entry)))

(func (export "env.length_unsafe") (param $handle i64) (result i64)
  (call $length (local.get $handle)))

;; A block that is freed stays to be read for as long as any that has crossed. To free what has gone already, or is no
;; block, does no harm.
(func (export "env.free") (param $handle i64)
  (local $entry i32)
  (local.set $entry (call $entry_of (local.get $handle)))
  (if (i64.ne (i64.load (local.get $entry)) (local.get $handle)) (then (return)))
  (if (i32.eq (i32.and (i32.add (call $state (local.get $entry)) (i32.const -1)) (i32.const -2)) (i32.const 0))
    (then
      (call $become (local.get $entry) (i32.const 3))
      (call $trim))))

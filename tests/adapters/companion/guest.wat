;; What a guest does with blocks where Python would take too long.
(module
  (import "compat" "env.alloc" (func $alloc (param i64) (result i64)))
  (import "compat" "env.free" (func $free (param i64)))
  (import "compat" "env.store_u8" (func $store_u8 (param i64 i32)))
  (import "compat" "env.store_u64" (func $store_u64 (param i64 i64)))
  (import "compat" "env.load_u64" (func $load_u64 (param i64) (result i64)))
  (import "compat" "env.length" (func $length (param i64) (result i64)))
  (import "compat" "env.log_info" (func $log (param i64)))
  (import "compat" "env.output_set" (func $output_set (param i64 i64)))
  (import "compat" "host.ws_receive" (func $receive (param i64) (result i64)))

  ;; Numbers from $seed on, 8 bytes each; the last is cut off where the block ends.
  (func $fill (export "fill") (param $block i64) (param $bytes i64) (param $seed i64)
    (loop $next
      (if (i64.ge_u (local.get $bytes) (i64.const 8))
        (then
          (call $store_u64 (local.get $block) (local.get $seed))
          (local.set $block (i64.add (local.get $block) (i64.const 8)))
          (local.set $bytes (i64.sub (local.get $bytes) (i64.const 8)))
          (local.set $seed (i64.add (local.get $seed) (i64.const 1)))
          (br $next))))
    (loop $next
      (if (i64.ne (local.get $bytes) (i64.const 0))
        (then
          (call $store_u8 (local.get $block) (i32.wrap_i64 (local.get $seed)))
          (local.set $seed (i64.shr_u (local.get $seed) (i64.const 8)))
          (local.set $block (i64.add (local.get $block) (i64.const 1)))
          (local.set $bytes (i64.sub (local.get $bytes) (i64.const 1)))
          (br $next)))))

  ;; So many blocks of a length; returns the handle of the latest.
  (func (export "make") (param $count i32) (param $bytes i64) (result i64)
    (local $block i64)
    (loop $next
      (local.set $block (call $alloc (local.get $bytes)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br_if $next (local.get $count)))
    (local.get $block))

  ;; So many blocks of a length, each freed at once; returns the greatest handle.
  (func (export "churn") (param $count i32) (param $bytes i64) (result i64)
    (local $block i64) (local $greatest i64)
    (loop $next
      (local.set $block (call $alloc (local.get $bytes)))
      (call $free (local.get $block))
      (if (i64.gt_u (local.get $block) (local.get $greatest))
        (then (local.set $greatest (local.get $block))))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br_if $next (local.get $count)))
    (local.get $greatest))

  (global $turn (mut i32) (i32.const 0))
  (global $request (mut i64) (i64.const 0))
  (global $reply (mut i64) (i64.const 0))
  (global $held (mut i64) (i64.const 0))

  ;; So many turns of a request and its reply, of a length that repeats after 100 of them, by a guest of some kind:
  ;;
  ;;     0 frees both      1 frees its requests   2 frees both one turn late   3 frees both twice   4 frees nothing
  ;;     5 makes one request for all turns        6 keeps a reply for ten turns, then reads it
  ;;     7 gets no reply, but logs                8 sets the output            9 makes what it never hands over
  (func (export "turns") (param $count i32) (param $kind i32)
    (local $last_request i64) (local $last_reply i64)
    (loop $next
      (local.set $last_request (global.get $request))
      (local.set $last_reply (global.get $reply))
      (if (i32.or (i32.ne (local.get $kind) (i32.const 5)) (i64.eqz (global.get $request)))
        (then
          (global.set $request
            (call $alloc
              (i64.extend_i32_u
                (i32.add (i32.mul (i32.rem_u (global.get $turn) (i32.const 100)) (i32.const 7)) (i32.const 9)))))))
      (call $store_u64 (global.get $request) (i64.extend_i32_u (global.get $turn)))
      (if (i32.eq (local.get $kind) (i32.const 7))
        (then (call $log (global.get $request)))
        (else
          (if (i32.ne (local.get $kind) (i32.const 9))
            (then (global.set $reply (call $receive (global.get $request)))))))
      (if (i32.or
            (i32.eq (local.get $kind) (i32.const 0))
            (i32.or (i32.eq (local.get $kind) (i32.const 1)) (i32.eq (local.get $kind) (i32.const 3))))
        (then
          (call $free (global.get $request))
          (if (i32.ne (local.get $kind) (i32.const 1)) (then (call $free (global.get $reply))))
          (if (i32.eq (local.get $kind) (i32.const 3))
            (then
              (call $free (global.get $reply))
              (call $free (global.get $request))))))
      (if (i32.eq (local.get $kind) (i32.const 2))
        (then
          (call $free (local.get $last_request))
          (call $free (local.get $last_reply))))
      (if (i32.and
            (i32.eq (local.get $kind) (i32.const 6))
            (i32.eqz (i32.rem_u (global.get $turn) (i32.const 10))))
        (then
          (if (i64.ne (global.get $held) (i64.const 0))
            (then (if (i64.ne (call $load_u64 (global.get $held)) (i64.const 0x6f6e2079656e6f6d)) (then (unreachable)))))
          (global.set $held (global.get $reply))))
      (if (i32.eq (local.get $kind) (i32.const 8))
        (then (call $output_set (global.get $reply) (call $length (global.get $reply)))))
      (global.set $turn (i32.add (global.get $turn) (i32.const 1)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br_if $next (local.get $count)))))

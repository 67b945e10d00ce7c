;; What is called around each call of an export, and what WASI's edges need. The module that comes after the guest and
;; has its memory (shim.wat) puts its functions into the table.

(table (export "shim") 3 funcref)
(type $four (func (param i32 i32 i32 i32) (result i32)))
(type $pages (func (result i32)))

(func (export "wasi.poll_oneoff") (param i32 i32 i32 i32) (result i32)
  (call_indirect (type $four)
    (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 0)))
(func (export "wasi.fd_write") (param i32 i32 i32 i32) (result i32)
  (call_indirect (type $four)
    (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 1)))
(func (export "wasi.proc_exit") (param $code i32)
  (drop
    (call $cross (i32.const 8) (i32.const 0) (i32.const 0)
      (i64.extend_i32_u (local.get $code)) (i64.const 0)))
  (unreachable))

;; The guest sleeps, so many nanoseconds.
(func (export "sleep") (param $nanoseconds i64)
  (drop
    (call $receive
      (call $cross (i32.const 9) (i32.const 0) (i32.const 0) (local.get $nanoseconds) (i64.const 0)))))

(global $greeted (mut i32) (i32.const 0))

(func $begin (export "begin")
  (global.set $window (i64.const 0))  ;; Extism's memory has been emptied
  (global.set $window_bytes (i32.const 0))
  (call $forget_inbox)
  ;; One large answer does not make the window large for ever.
  (if (i32.gt_u (global.get $window_wanted) (i32.const 4096))
    (then (global.set $window_wanted (i32.shr_u (global.get $window_wanted) (i32.const 1)))))
  (call $whole_input)
  (if (i32.eqz (global.get $greeted)) (then (call $greet)))
  (call $age)
  (call $trim))

;; The first call: the host says how much may be kept, how much there may be, and what is logged.
(func $greet
  (local $at i64)
  (local.set $at
    (call $cross (i32.const 1) (i32.const 0) (i32.const 0) (i64.const 0) (i64.const 0)))
  (if (i32.ne (call $answered (local.get $at)) (i32.const 64)) (then (call $misunderstood)))
  (global.set $retained (call $x_load (i64.add (local.get $at) (i64.const 24))))
  (global.set $budget (call $x_load (i64.add (local.get $at) (i64.const 32))))
  ;; Half of what 32 bits address: with more, sums of addresses would overflow.
  (if (i64.gt_u (global.get $budget) (i64.const 0x80000000))
    (then (global.set $budget (i64.const 0x80000000))))
  (global.set $generations (call $x_load (i64.add (local.get $at) (i64.const 40))))
  (global.set $log_level (i32.wrap_i64 (call $x_load (i64.add (local.get $at) (i64.const 48)))))
  (global.set $max_request (call $x_load (i64.add (local.get $at) (i64.const 56))))
  (global.set $max_output (call $x_load (i64.add (local.get $at) (i64.const 64))))
  (global.set $max_error (call $x_load (i64.add (local.get $at) (i64.const 72))))
  (global.set $allowed (i32.wrap_i64 (call $x_load (i64.add (local.get $at) (i64.const 80)))))
  (global.set $greeted (i32.const 1)))

;; The end of a call.
(func (export "end")
  (call $drop_inbox)
  (call $flush))

;; What is done for a call that did not come to its end: what it has left crosses, how many pages of memory the guest has,
;; -1 if nobody can tell, and how many entries the largest of the tables has that were told before; 0 without any.
(global $entries (mut i64) (i64.const 0))
(func (export "entries") (param $table i64)
  (if (i64.gt_u (local.get $table) (global.get $entries))
    (then (global.set $entries (local.get $table)))))
(func (export "collect")
  (drop
    (call $receive
      (call $cross (i32.const 10) (i32.const 0) (i32.const 0)
        (if (result i64) (ref.is_null (table.get 0 (i32.const 2)))
          (then (i64.const -1))
          (else (i64.extend_i32_u (call_indirect (type $pages) (i32.const 2)))))
        (global.get $entries)))))

;; What is in use, as this call's output: eight numbers of 64 bits.
(func (export "stats")
  (local $at i64)
  (local.set $at (call $x_alloc (i64.const 64)))
  (call $x_store (local.get $at) (i64.extend_i32_u (i32.add (global.get $crossed) (global.get $private))))
  (call $x_store (i64.add (local.get $at) (i64.const 8))
    (i64.add (global.get $crossed_bytes) (global.get $private_bytes)))
  (call $x_store (i64.add (local.get $at) (i64.const 16)) (i64.extend_i32_u (global.get $crossed)))
  (call $x_store (i64.add (local.get $at) (i64.const 24)) (global.get $crossed_bytes))
  (call $x_store (i64.add (local.get $at) (i64.const 32)) (i64.extend_i32_u (global.get $slots)))
  (call $x_store (i64.add (local.get $at) (i64.const 40))
    (i64.extend_i32_u (i32.sub (global.get $heap_end) (i32.const 0x220000))))
  (call $x_store (i64.add (local.get $at) (i64.const 48)) (global.get $reclaimed))
  (call $x_store (i64.add (local.get $at) (i64.const 56)) (i64.extend_i32_u (global.get $idle)))
  (call $x_output_set (local.get $at) (i64.const 64)))

(data (i32.const 0x21fff0) "\ff\ff\00\00\ff\ff\00\00")  ;; the second list is empty

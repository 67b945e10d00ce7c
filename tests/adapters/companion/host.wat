;; A host that takes no time: it answers everything but records and faults, in the window, in lengths that repeat.
(module
  (import "extism:host/env" "load_u64" (func $load (param i64) (result i64)))
  (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
  (global $settings (export "settings") (mut i64) (i64.const 0))  ;; bytes that are retained
  (global $answers (mut i64) (i64.const 0))

  (func (export "exchange") (param $at i64) (result i64)
    (local $operation i64) (local $bytes i64) (local $i i64)
    (local.set $operation (i64.and (i64.shr_u (call $load (local.get $at)) (i64.const 16)) (i64.const 0xffff)))
    (if (i64.eq (local.get $operation) (i64.const 1))
      (then
        (call $store (i64.add (local.get $at) (i64.const 24)) (global.get $settings))
        (call $store (i64.add (local.get $at) (i64.const 32)) (i64.const 0x4000000))
        (call $store (i64.add (local.get $at) (i64.const 40)) (i64.const 0x1f0000))
        (call $store (i64.add (local.get $at) (i64.const 48)) (i64.const 0))
        (call $store (i64.add (local.get $at) (i64.const 56)) (i64.const 0x1000000))
        (call $store (i64.add (local.get $at) (i64.const 64)) (i64.const 0x1000000))
        (call $store (i64.add (local.get $at) (i64.const 72)) (i64.const 0x10000))
        (call $store (i64.add (local.get $at) (i64.const 80)) (i64.const 0))
        (local.set $bytes (i64.const 64)))
      (else
        (if (i64.lt_u (local.get $operation) (i64.const 32)) (then (return (i64.const 0))))
        (local.set $bytes
          (i64.add (i64.mul (i64.rem_u (global.get $answers) (i64.const 100)) (i64.const 11)) (i64.const 8)))
        (global.set $answers (i64.add (global.get $answers) (i64.const 1)))
        (loop $next
          (call $store (i64.add (i64.add (local.get $at) (i64.const 24)) (local.get $i)) (i64.const 0x6f6e2079656e6f6d))
          (local.set $i (i64.add (local.get $i) (i64.const 8)))
          (br_if $next (i64.lt_u (local.get $i) (local.get $bytes))))))
    (call $store (local.get $at) (i64.const 1))
    (call $store (i64.add (local.get $at) (i64.const 8)) (i64.const 0))
    (call $store (i64.add (local.get $at) (i64.const 16)) (local.get $bytes))
    (local.get $at)))

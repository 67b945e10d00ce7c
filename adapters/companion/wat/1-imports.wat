;; The companion: everything that a guest imports from Extism's kernel and from the host goes through this module.
;;
;; Its parts are the numbered files of this folder, one module when put together (see ../modules.py). Its own memory is
;; out of every guest's reach: a guest names blocks by handles, which are checked at every use.
;;
;;        0x100  heads of the lists of free room, 4 bytes for each order
;;        0x300  the time, as it is written (see 11-clock.wat)
;;        0x400  names of members of JSON; 0x1000 the members of the object that was read last (see 8-json.wat)
;;       0x4000  the output of one message of a batch, 32 KiB (see 9-messages.wat)
;;        0x600  what makes a batch, and 0xc000 to 0xf000 (see 10-batches.wat)
;;      0x10000  the outbox: records that wait for the next crossing, 64 KiB
;;      0x20000  the slots: 65,536 entries of 32 bytes, each describing one block
;;     0x220000  the heap, from which blocks are cut

;; Extism's kernel, which guests do not see any more. Bytes cross the border in blocks of its memory.
(import "extism:host/env" "alloc" (func $x_alloc (param i64) (result i64)))
(import "extism:host/env" "free" (func $x_free (param i64)))
(import "extism:host/env" "length_unsafe" (func $x_length (param i64) (result i64)))
(import "extism:host/env" "load_u64" (func $x_load (param i64) (result i64)))
(import "extism:host/env" "store_u64" (func $x_store (param i64 i64)))
(import "extism:host/env" "input_length" (func $x_input_length (result i64)))
(import "extism:host/env" "input_load_u8" (func $x_input_load_u8 (param i64) (result i32)))
(import "extism:host/env" "input_load_u64" (func $x_input_load_u64 (param i64) (result i64)))
(import "extism:host/env" "output_set" (func $x_output_set (param i64 i64)))

;; What `time_now` tells (11-clock.wat).
(import "wasi_snapshot_preview1" "clock_time_get" (func $w_clock (param i32 i64 i32) (result i32)))

;; The one function of the host, in Python. What crosses is described in 5-exchange.wat.
(import "compat:host" "exchange" (func $x_exchange (param i64) (result i64)))

;; WASI looks for the memory of whoever calls it under the second name.
(memory $own (export "own") (export "memory") 35)

;; Settings, which the host gives with its answer to the first call's beginning.
(global $retained (mut i64) (i64.const 0x400000))     ;; bytes of used blocks that are kept for a guest to come back to
(global $budget (mut i64) (i64.const 0x4000000))      ;; bytes that the heap may have
(global $generations (mut i64) (i64.const 0x1f0000))  ;; how often a slot is used before the guest counts as worn
(global $max_request (mut i64) (i64.const 0x1000000))  ;; bytes of a request
(global $max_output (mut i64) (i64.const 0x1000000))   ;; bytes of an output
(global $max_error (mut i64) (i64.const 0x10000))      ;; bytes of an error's text
(global $log_level (mut i32) (i32.const 0))           ;; the lowest level that is logged: 0 trace ... 4 error

;; What the host is told with every crossing.
(global $worn (mut i32) (i32.const 0))                ;; 1 once a slot has been used so often

(func $padded (param $n i32) (result i32)  ;; to a multiple of eight
  (i32.and (i32.add (local.get $n) (i32.const 7)) (i32.const -8)))

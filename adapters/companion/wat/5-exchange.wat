;; The exchange: one block of Extism's memory, the window, in which the companion and the host write to each other. It
;; belongs to one call, and grows. All numbers are little-endian; the protocol's version is 2.
;;
;; A crossing to the host:                            The host's answer, in the window or a block of its own:
;;
;;      0  u16 version     2  u16 operation                 0  u32 answers   4  u32 flags
;;      4  u32 blocks in use                                8  u32 log level + 1, or 0: as it was   12  u32 nothing
;;      8  u32 bytes of records                            16  answers, each: u32 bytes, u32 nothing, the bytes
;;     12  u32 messages that are left in the inbox
;;     16  u32 bytes of the request                    Flags: 1 the call ends here   2 the block is not the window
;;     20  u32 flags: 1 the guest is worn                     4 the key of this publication is granted
;;         2 the inbox is dropped with what is left           8 all grants are withdrawn
;;     24  i64 an argument        32  i64 another
;;     40  u64 bytes that the blocks take             The first answer is that to the request. Those after it, in a block
;;     48  records, each: u32 kind, u32 bytes,        that is not the window, are for requests of the same bytes
;;         the bytes; then the request                (10-batches.wat).
;;
;; Everything is padded to a multiple of eight. Records are what wants no answer, and waited for the next crossing, so
;; that the order of everything is kept; their kinds and the operations are listed in ../exchange.py. An answer that is of
;; no such form, or that does not stand in its block altogether, is a fault.

(global $window (mut i64) (i64.const 0))
(global $window_bytes (mut i32) (i32.const 0))
(global $window_wanted (mut i32) (i32.const 4096))
(global $out (mut i32) (i32.const 0))        ;; bytes in the outbox

;; Between Extism's memory and our own, eight bytes at a time.
(func $push (param $to i64) (param $from i32) (param $bytes i32)
  (local $end i32)
  (local.set $end (i32.add (local.get $from) (local.get $bytes)))
  (loop $next
    (if (i32.lt_u (local.get $from) (local.get $end))
      (then
        (call $x_store (local.get $to) (i64.load align=1 (local.get $from)))
        (local.set $to (i64.add (local.get $to) (i64.const 8)))
        (local.set $from (i32.add (local.get $from) (i32.const 8)))
        (br $next)))))
(func $pull (param $to i32) (param $from i64) (param $bytes i32)
  (local $end i32)
  (local.set $end (i32.add (local.get $to) (local.get $bytes)))
  (loop $next
    (if (i32.lt_u (local.get $to) (local.get $end))
      (then
        (i64.store align=1 (local.get $to) (call $x_load (local.get $from)))
        (local.set $to (i32.add (local.get $to) (i32.const 8)))
        (local.set $from (i64.add (local.get $from) (i64.const 8)))
        (br $next)))))

(func $pair (param $low i32) (param $high i32) (result i64)
  (i64.or
    (i64.extend_i32_u (local.get $low))
    (i64.shl (i64.extend_i32_u (local.get $high)) (i64.const 32))))

;; A window of so many bytes at least.
(func $open_window (param $bytes i32)
  (if (i32.lt_u (local.get $bytes) (global.get $window_wanted))
    (then (local.set $bytes (global.get $window_wanted))))
  (if (i32.le_u (local.get $bytes) (global.get $window_bytes)) (then (return)))
  (if (i64.ne (global.get $window) (i64.const 0))
    (then (call $x_free (global.get $window))))
  (local.set $bytes
    (i32.shl (i32.const 1)
      (i32.sub (i32.const 32) (i32.clz (i32.sub (local.get $bytes) (i32.const 1))))))
  (global.set $window_bytes (i32.const 0))  ;; in case there is no room
  (global.set $window (call $x_alloc (i64.extend_i32_u (local.get $bytes))))
  (if (i64.eqz (global.get $window)) (then (unreachable)))
  (global.set $window_bytes (local.get $bytes)))

;; One crossing: the records that wait, and a request. Returns where the answer is, 0 if there is none.
(func $cross (param $operation i32) (param $from i32) (param $bytes i32) (param $one i64) (param $other i64) (result i64)
  (local $at i64)
  (call $open_window
    (i32.add (i32.const 48) (i32.add (global.get $out) (call $padded (local.get $bytes)))))
  (local.set $at (global.get $window))
  (call $x_store (local.get $at)
    (call $pair
      (i32.or (i32.const 2) (i32.shl (local.get $operation) (i32.const 16)))
      (i32.add (global.get $crossed) (global.get $private))))
  (call $x_store (i64.add (local.get $at) (i64.const 8))
    (call $pair (global.get $out) (global.get $inbox_left)))
  (call $x_store (i64.add (local.get $at) (i64.const 16))
    (call $pair (local.get $bytes)
      (i32.or (global.get $worn) (i32.shl (global.get $inbox_dropped) (i32.const 1)))))
  (call $x_store (i64.add (local.get $at) (i64.const 24)) (local.get $one))
  (call $x_store (i64.add (local.get $at) (i64.const 32)) (local.get $other))
  (call $x_store (i64.add (local.get $at) (i64.const 40))
    (i64.add (global.get $crossed_bytes) (global.get $private_bytes)))
  (local.set $at (i64.add (local.get $at) (i64.const 48)))
  (call $push (local.get $at) (i32.const 0x10000) (global.get $out))
  (call $push (i64.add (local.get $at) (i64.extend_i32_u (global.get $out)))
    (local.get $from) (call $padded (local.get $bytes)))
  (global.set $out (i32.const 0))
  (call $inbox_told)
  (call $x_exchange (global.get $window)))

;; How many bytes an answer has; -1 if it answers nothing. It has to be one that the protocol allows, and to stand in its
;; block altogether. Where it says that the call ends, the call does. The log level that it brings counts from now on, and
;; what it says of grants.
(func $answered (param $answer i64) (result i32)
  (local $own i32) (local $room i64) (local $head i64) (local $bytes i64) (local $level i64) (local $flags i32)
  (local.set $own (i64.ne (local.get $answer) (global.get $window)))
  (local.set $room (i64.extend_i32_u (global.get $window_bytes)))
  (if (local.get $own)
    (then (local.set $room (call $x_length (local.get $answer)))))
  (if (i64.lt_u (local.get $room) (i64.const 24)) (then (call $misunderstood)))
  (local.set $head (call $x_load (local.get $answer)))
  (if (i64.eq (local.get $head) (i64.const 0x100000000)) (then (unreachable)))
  (local.set $flags (i32.wrap_i64 (i64.shr_u (local.get $head) (i64.const 32))))
  (if (i32.ne (i32.and (local.get $flags) (i32.const -13)) (i32.shl (local.get $own) (i32.const 1)))
    (then (call $misunderstood)))
  (if (i32.and (local.get $flags) (i32.const 8)) (then (call $withdraw)))
  (if (i32.and (local.get $flags) (i32.const 4)) (then (call $grant)))
  (local.set $level (call $x_load (i64.add (local.get $answer) (i64.const 8))))
  (if (i64.gt_u (local.get $level) (i64.const 5)) (then (call $misunderstood)))
  (if (i32.eqz (i64.eqz (local.get $level)))
    (then (global.set $log_level (i32.sub (i32.wrap_i64 (local.get $level)) (i32.const 1)))))
  (if (i32.eqz (i32.wrap_i64 (local.get $head))) (then (return (i32.const -1))))
  (if (i32.and
        (i32.ne (i32.wrap_i64 (local.get $head)) (i32.const 1))
        (i32.eqz (i32.and (local.get $own) (global.get $may_fill))))
    (then (call $misunderstood)))
  (local.set $bytes
    (i64.and (call $x_load (i64.add (local.get $answer) (i64.const 16))) (i64.const 0xffffffff)))
  (if (i64.gt_u (i64.and (i64.add (local.get $bytes) (i64.const 31)) (i64.const -8)) (local.get $room))
    (then (call $misunderstood)))
  (i32.wrap_i64 (local.get $bytes)))

(func $misunderstood
  (call $fault (i32.const 6) (i64.const 0)))

;; A new block with what stands at a place of Extism's memory: its handle.
(func $taken_in (param $from i64) (param $bytes i32) (result i64)
  (local $handle i64) (local $entry i32)
  (local.set $handle (call $alloc (i64.extend_i32_u (local.get $bytes))))
  (local.set $entry (call $entry_of (local.get $handle)))
  (call $pull (i32.load offset=8 (local.get $entry)) (local.get $from) (call $padded (local.get $bytes)))
  (call $cross_block (local.get $entry))
  (local.get $handle))

;; Take an answer in: the handle of a new block with it; 0 if there is none, or it is empty. Those behind it become the
;; inbox.
(func $receive (param $answer i64) (result i64)
  (local $handle i64) (local $bytes i32)
  (if (i64.ne (local.get $answer) (i64.const 0))
    (then
      (local.set $bytes (call $answered (local.get $answer)))
      (if (i32.gt_s (local.get $bytes) (i32.const 0))
        (then
          (local.set $handle (call $taken_in (i64.add (local.get $answer) (i64.const 24)) (local.get $bytes)))))
      (if (i64.ne (local.get $answer) (global.get $window))
        (then
          (if (i32.eqz
                (call $fill_inbox
                  (local.get $answer)
                  (i64.add (local.get $answer)
                    (i64.extend_i32_u (i32.add (call $padded (local.get $bytes)) (i32.const 24))))
                  (i32.sub (i32.wrap_i64 (call $x_load (local.get $answer))) (i32.const 1))))
            (then (call $x_free (local.get $answer))))
          ;; The next one of that length will find room in the window.
          (if (i32.gt_s (i32.add (local.get $bytes) (i32.const 24)) (global.get $window_wanted))
            (then (global.set $window_wanted (i32.add (local.get $bytes) (i32.const 24)))))))))
  (call $trim)
  (local.get $handle))

;; A request to the host in a block of the guest's; 0 stands for an empty one.
(func $ask (param $operation i32) (param $handle i64) (result i64)
  (local $entry i32)
  (if (i64.eqz (local.get $handle))
    (then
      (return
        (call $receive
          (call $cross (local.get $operation) (i32.const 0) (i32.const 0) (i64.const 0) (i64.const 0))))))
  (local.set $entry (call $passed (local.get $handle)))
  (if (i64.gt_u (i64.load32_u offset=12 (local.get $entry)) (global.get $max_request))
    (then (call $fault (i32.const 7) (i64.load32_u offset=12 (local.get $entry)))))
  (call $receive
    (call $cross (local.get $operation)
      (i32.load offset=8 (local.get $entry)) (i32.load offset=12 (local.get $entry))
      (i64.const 0) (i64.const 0))))

;; Room in the outbox for a record of so many bytes, 32 KiB at most: where its bytes go.
(func $record (export "record") (param $kind i32) (param $bytes i32) (result i32)
  (local $at i32)
  (if (i32.gt_u
        (i32.add (global.get $out) (i32.add (local.get $bytes) (i32.const 16)))
        (i32.const 0x10000))
    (then (call $flush)))
  (local.set $at (i32.add (i32.const 0x10000) (global.get $out)))
  (i32.store (local.get $at) (local.get $kind))
  (i32.store offset=4 (local.get $at) (local.get $bytes))
  (global.set $out
    (i32.add (global.get $out) (i32.add (i32.const 8) (call $padded (local.get $bytes)))))
  (i32.add (local.get $at) (i32.const 8)))

;; Let the records that wait cross.
(func $flush (export "flush")
  (if (i32.or (global.get $out) (global.get $inbox_dropped))
    (then
      (drop
        (call $receive
          (call $cross (i32.const 3) (i32.const 0) (i32.const 0) (i64.const 0) (i64.const 0)))))))

;; A record of a block of the guest's, cut off after 32 KiB.
(func $tell (param $kind i32) (param $handle i64)
  (local $entry i32) (local $bytes i32)
  (if (i64.eqz (local.get $handle)) (then (return)))
  (local.set $entry (call $passed (local.get $handle)))
  (local.set $bytes (i32.load offset=12 (local.get $entry)))
  (if (i32.gt_u (local.get $bytes) (i32.const 0x8000))
    (then (local.set $bytes (i32.const 0x8000))))
  (memory.copy
    (call $record (local.get $kind) (local.get $bytes))
    (i32.load offset=8 (local.get $entry))
    (local.get $bytes))
  (call $trim))

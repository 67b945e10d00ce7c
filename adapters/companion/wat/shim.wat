;; WASI's edges: sleeping, and what is printed. This module is linked after the guest, so that it can use its memory, and
;; puts its functions where the companion calls them (see 7-calls.wat).
(module
  (import "compat:guest" "memory" (memory $guest 0))
  (import "compat" "own" (memory $own 1))
  (import "compat" "shim" (table 3 funcref))
  (import "compat" "sleep" (func $sleep (param i64)))
  (import "compat" "record" (func $record (param i32 i32) (result i32)))
  (import "compat" "flush" (func $flush))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $w_poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $w_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $w_clock (param i32 i64 i32) (result i32)))
  (export "memory" (memory $guest))  ;; WASI looks for it in whoever calls
  (elem (i32.const 0) func $poll_oneoff $fd_write $pages)
  (func (export "ready"))
  (func $pages (result i32) (memory.size $guest))

  ;; Standard output and error are records of kinds 3 and 4; what goes to 2 crosses at once, as a trap may follow.
  (func $fd_write (param $fd i32) (param $vectors i32) (param $count i32) (param $written i32) (result i32)
    (local $sum i32) (local $bytes i32)
    (if (i32.gt_u (i32.sub (local.get $fd) (i32.const 1)) (i32.const 1))
      (then
        (return
          (call $w_write (local.get $fd) (local.get $vectors) (local.get $count) (local.get $written)))))
    (loop $next
      (if (local.get $count)
        (then
          (local.set $bytes (i32.load $guest offset=4 (local.get $vectors)))
          (call $print (local.get $fd) (i32.load $guest (local.get $vectors)) (local.get $bytes))
          (local.set $sum (i32.add (local.get $sum) (local.get $bytes)))
          (local.set $vectors (i32.add (local.get $vectors) (i32.const 8)))
          (local.set $count (i32.sub (local.get $count) (i32.const 1)))
          (br $next))))
    (if (i32.eq (local.get $fd) (i32.const 2)) (then (call $flush)))
    (i32.store $guest (local.get $written) (local.get $sum))
    (i32.const 0))

  (func $print (param $fd i32) (param $from i32) (param $bytes i32)
    (local $piece i32)
    ;; Trap before there is a record, which would cross with whatever was there before.
    (if (i64.gt_u
          (i64.add (i64.extend_i32_u (local.get $from)) (i64.extend_i32_u (local.get $bytes)))
          (i64.shl (i64.extend_i32_u (memory.size $guest)) (i64.const 16)))
      (then (unreachable)))
    (loop $next
      (if (local.get $bytes)
        (then
          (local.set $piece
            (select (i32.const 0x8000) (local.get $bytes) (i32.gt_u (local.get $bytes) (i32.const 0x8000))))
          (memory.copy $own $guest
            (call $record (i32.add (local.get $fd) (i32.const 2)) (local.get $piece))
            (local.get $from)
            (local.get $piece))
          (local.set $from (i32.add (local.get $from) (local.get $piece)))
          (local.set $bytes (i32.sub (local.get $bytes) (local.get $piece)))
          (br $next)))))

  ;; A subscription has 48 bytes: +0 its own number, +8 what it waits for (0: a clock), +16 which clock, +24 until when,
  ;; in nanoseconds, +40 whether that is absolute. An event has 32: +0 the number, +8 an error, +10 what it is.
  ;;
  ;; Where clocks alone are waited for, the host sleeps, and can be woken. Where files are, too, WASI waits, for a moment
  ;; at a time, and the host is asked between.
  (func $poll_oneoff (param $in i32) (param $out i32) (param $count i32) (param $events i32) (result i32)
    (local $left i64) (local $slice i64) (local $first i32) (local $error i32) (local $until i64) (local $flags i32)
    (if (i32.eqz (local.get $count)) (then (return (i32.const 28))))  ;; invalid, as WASI says
    (local.set $first (call $earliest (local.get $in) (local.get $out) (local.get $count)))
    (if (i32.eq (local.get $first) (i32.const -1))
      (then
        (return (call $w_poll (local.get $in) (local.get $out) (local.get $count) (local.get $events)))))
    (local.set $left (call $remaining (local.get $first) (local.get $out)))
    (if (call $clocks_alone (local.get $in) (local.get $count))
      (then
        (call $sleep (local.get $left))
        (memory.fill $guest (local.get $out) (i32.const 0) (i32.const 32))
        (i64.store $guest (local.get $out) (i64.load $guest (local.get $first)))
        (i32.store $guest (local.get $events) (i32.const 1))
        (return (i32.const 0))))
    (local.set $until (i64.load $guest offset=24 (local.get $first)))
    (local.set $flags (i32.load16_u $guest offset=40 (local.get $first)))
    (i32.store16 $guest offset=40 (local.get $first) (i32.const 0))
    (loop $again
      (local.set $slice
        (select (i64.const 20000000) (local.get $left) (i64.gt_u (local.get $left) (i64.const 20000000))))
      (i64.store $guest offset=24 (local.get $first) (local.get $slice))
      (local.set $error
        (call $w_poll (local.get $in) (local.get $out) (local.get $count) (local.get $events)))
      (local.set $left (i64.sub (local.get $left) (local.get $slice)))
      (call $sleep (i64.const 0))
      (br_if $again
        (i32.and
          (i64.ne (local.get $left) (i64.const 0))
          (i32.and
            (i32.eqz (local.get $error))
            (call $only_time (local.get $out) (i32.load $guest (local.get $events)))))))
    (i64.store $guest offset=24 (local.get $first) (local.get $until))
    (i32.store16 $guest offset=40 (local.get $first) (local.get $flags))
    (local.get $error))

  ;; The subscription to the clock that is due first; -1 if there is none.
  (func $earliest (param $in i32) (param $out i32) (param $count i32) (result i32)
    (local $first i32) (local $left i64) (local $least i64)
    (local.set $first (i32.const -1))
    (local.set $least (i64.const -1))
    (loop $next
      (if (local.get $count)
        (then
          (if (i32.eqz (i32.load8_u $guest offset=8 (local.get $in)))
            (then
              (local.set $left (call $remaining (local.get $in) (local.get $out)))
              (if (i32.or
                    (i32.eq (local.get $first) (i32.const -1))
                    (i64.lt_u (local.get $left) (local.get $least)))
                (then
                  (local.set $first (local.get $in))
                  (local.set $least (local.get $left))))))
          (local.set $in (i32.add (local.get $in) (i32.const 48)))
          (local.set $count (i32.sub (local.get $count) (i32.const 1)))
          (br $next))))
    (local.get $first))

  ;; Nanoseconds until a subscription to a clock is due. The room for events is used to ask what time it is.
  (func $remaining (param $in i32) (param $out i32) (result i64)
    (local $until i64) (local $now i64)
    (local.set $until (i64.load $guest offset=24 (local.get $in)))
    (if (i32.eqz (i32.and (i32.load16_u $guest offset=40 (local.get $in)) (i32.const 1)))
      (then (return (local.get $until))))
    (if (call $w_clock (i32.load $guest offset=16 (local.get $in)) (i64.const 1) (local.get $out))
      (then (return (i64.const 0))))  ;; there is no such clock
    (local.set $now (i64.load $guest (local.get $out)))
    (select (i64.sub (local.get $until) (local.get $now)) (i64.const 0)
      (i64.gt_u (local.get $until) (local.get $now))))

  (func $clocks_alone (param $in i32) (param $count i32) (result i32)
    (loop $next
      (if (local.get $count)
        (then
          (if (i32.load8_u $guest offset=8 (local.get $in)) (then (return (i32.const 0))))
          (local.set $in (i32.add (local.get $in) (i32.const 48)))
          (local.set $count (i32.sub (local.get $count) (i32.const 1)))
          (br $next))))
    (i32.const 1))

  ;; Whether nothing has happened but that time has passed.
  (func $only_time (param $out i32) (param $count i32) (result i32)
    (loop $next
      (if (local.get $count)
        (then
          (if (i32.load8_u $guest offset=10 (local.get $out)) (then (return (i32.const 0))))
          (local.set $out (i32.add (local.get $out) (i32.const 32)))
          (local.set $count (i32.sub (local.get $count) (i32.const 1)))
          (br $next))))
    (i32.const 1)))

;; What `time_now` tells: RFC 3339 in UTC with nine digits of fraction, as JSON.

(data (i32.const 0x300) "\220000-00-00T00:00:00.000000000Z\22")

(func $now (param $operation i32) (param $handle i64) (result i64)
  (local $now i64) (local $second i64) (local $at i32)
  (if (i32.eqz (i32.and (global.get $allowed) (i32.const 2)))
    (then (return (call $ask (local.get $operation) (local.get $handle)))))
  (if (call $w_clock (i32.const 0) (i64.const 1) (i32.const 0x320))
    (then (return (call $ask (local.get $operation) (local.get $handle)))))  ;; there is no clock
  (local.set $now (i64.load (i32.const 0x320)))
  (local.set $handle (call $alloc (i64.const 32)))
  (local.set $at (i32.load offset=8 (call $entry_of (local.get $handle))))
  (memory.copy (local.get $at) (i32.const 0x300) (i32.const 32))
  (local.set $second (i64.div_u (local.get $now) (i64.const 1000000000)))
  (call $date (local.get $at) (i64.div_u (local.get $second) (i64.const 86400)))
  (local.set $second (i64.rem_u (local.get $second) (i64.const 86400)))
  (call $digits (i32.add (local.get $at) (i32.const 14)) (i64.div_u (local.get $second) (i64.const 3600)) (i32.const 2))
  (call $digits (i32.add (local.get $at) (i32.const 17))
    (i64.rem_u (i64.div_u (local.get $second) (i64.const 60)) (i64.const 60)) (i32.const 2))
  (call $digits (i32.add (local.get $at) (i32.const 20)) (i64.rem_u (local.get $second) (i64.const 60)) (i32.const 2))
  (call $digits (i32.add (local.get $at) (i32.const 30)) (i64.rem_u (local.get $now) (i64.const 1000000000)) (i32.const 9))
  (call $cross_block (call $entry_of (local.get $handle)))
  (call $trim)
  (local.get $handle))

;; Year, month and day, from days since 1970. Eras have 400 years, which begin in March: so the leap day is a year's last.
(func $date (param $at i32) (param $days i64)
  (local $era i64) (local $year i64) (local $month i64)
  (local.set $days (i64.add (local.get $days) (i64.const 719468)))
  (local.set $era (i64.div_u (local.get $days) (i64.const 146097)))
  (local.set $days (i64.rem_u (local.get $days) (i64.const 146097)))
  (local.set $year
    (i64.div_u
      (i64.sub
        (i64.add
          (i64.sub (local.get $days) (i64.div_u (local.get $days) (i64.const 1460)))
          (i64.div_u (local.get $days) (i64.const 36524)))
        (i64.div_u (local.get $days) (i64.const 146096)))
      (i64.const 365)))
  (local.set $days  ;; of the year
    (i64.sub (local.get $days)
      (i64.sub
        (i64.add (i64.mul (local.get $year) (i64.const 365)) (i64.div_u (local.get $year) (i64.const 4)))
        (i64.div_u (local.get $year) (i64.const 100)))))
  (local.set $month
    (i64.div_u (i64.add (i64.mul (local.get $days) (i64.const 5)) (i64.const 2)) (i64.const 153)))
  (local.set $days  ;; of the month
    (i64.sub (local.get $days)
      (i64.div_u (i64.add (i64.mul (local.get $month) (i64.const 153)) (i64.const 2)) (i64.const 5))))
  (local.set $year (i64.add (local.get $year) (i64.mul (local.get $era) (i64.const 400))))
  (if (i64.ge_u (local.get $month) (i64.const 10))  ;; January and February
    (then (local.set $year (i64.add (local.get $year) (i64.const 1)))))
  (call $digits (i32.add (local.get $at) (i32.const 5)) (local.get $year) (i32.const 4))
  (call $digits (i32.add (local.get $at) (i32.const 8))
    (i64.add (i64.rem_u (i64.add (local.get $month) (i64.const 2)) (i64.const 12)) (i64.const 1)) (i32.const 2))
  (call $digits (i32.add (local.get $at) (i32.const 11)) (i64.add (local.get $days) (i64.const 1)) (i32.const 2)))

;; So many digits of a number, which end before a place.
(func $digits (param $end i32) (param $value i64) (param $count i32)
  (loop $next
    (local.set $end (i32.sub (local.get $end) (i32.const 1)))
    (i32.store8 (local.get $end)
      (i32.add (i32.const 0x30) (i32.wrap_i64 (i64.rem_u (local.get $value) (i64.const 10)))))
    (local.set $value (i64.div_u (local.get $value) (i64.const 10)))
    (local.set $count (i32.sub (local.get $count) (i32.const 1)))
    (br_if $next (local.get $count))))

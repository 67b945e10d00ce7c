;; JSON: whether some bytes are surely an object that the host would read, and where its members stand.
;;
;; One pass, without recursion: bit 0 of $kinds says whether the innermost container is an object, the bits above it
;; what is around that. Every answer is "sure" or "not sure". What is not sure crosses to the host, which reads more
;; leniently and is the judge. So this may refuse good JSON, and never accepts what the host refuses. It is not sure of
;;
;;   - more than 64 containers within each other, or more than 32 members of the object itself
;;   - an escape in the name of such a member, which may stand for another name
;;   - escaped surrogates, which may lack their pair
;;   - numbers of more than 128 bytes, or with more than two digits of an exponent, which may be out of range
;;
;; Bytes from 0x80 on are not looked at: where they are no UTF-8, the host replaces them, and refuses nothing for it.
;;
;;        0x400  the names that are asked for
;;       0x1000  the members of the object that was read last, 16 bytes for each:
;;               +0 i32 name   +4 i32 its bytes   +8 i32 value   +12 i32 its bytes

(global $json_count (mut i32) (i32.const 0))    ;; members
(global $json_escaped (mut i32) (i32.const 0))  ;; 1: the string that was read last has an escape

(data (i32.const 0x400) "key\00\00\00\00\00data\00\00\00\00timestamp\00\00\00\00\00\00\00success\00action\00\00")

(func $json_byte (param $at i32) (param $end i32) (result i32)  ;; 0 at the end, which JSON nowhere allows
  (if (i32.ge_u (local.get $at) (local.get $end)) (then (return (i32.const 0))))
  (i32.load8_u (local.get $at)))

(func $json_space (param $at i32) (param $end i32) (result i32)  ;; the first byte that is no white space
  (local $byte i32)
  (block $none
    (loop $next
      (local.set $byte (call $json_byte (local.get $at) (local.get $end)))
      (br_if $none (i32.gt_u (local.get $byte) (i32.const 32)))
      ;; Tab, line feed, carriage return and space, as bits.
      (br_if $none
        (i64.eqz
          (i64.and (i64.const 0x100002600) (i64.shl (i64.const 1) (i64.extend_i32_u (local.get $byte))))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next)))
  (local.get $at))

(func $json_digits (param $at i32) (param $end i32) (result i32)  ;; the first byte that is no digit
  (block $none
    (loop $next
      (br_if $none
        (i32.gt_u
          (i32.sub (call $json_byte (local.get $at) (local.get $end)) (i32.const 48))
          (i32.const 9)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next)))
  (local.get $at))

;; Where a number ends that begins here; 0: not sure.
(func $json_number (param $at i32) (param $end i32) (result i32)
  (local $from i32) (local $to i32) (local $byte i32)
  (local.set $from (local.get $at))
  (if (i32.eq (call $json_byte (local.get $at) (local.get $end)) (i32.const 45))  ;; -
    (then (local.set $at (i32.add (local.get $at) (i32.const 1)))))
  (local.set $to (call $json_digits (local.get $at) (local.get $end)))
  (if (i32.eq (local.get $to) (local.get $at)) (then (return (i32.const 0))))
  (if (i32.and  ;; nothing follows a zero
        (i32.eq (call $json_byte (local.get $at) (local.get $end)) (i32.const 48))
        (i32.ne (i32.sub (local.get $to) (local.get $at)) (i32.const 1)))
    (then (return (i32.const 0))))
  (if (i32.eq (call $json_byte (local.get $to) (local.get $end)) (i32.const 46))  ;; .
    (then
      (local.set $at (i32.add (local.get $to) (i32.const 1)))
      (local.set $to (call $json_digits (local.get $at) (local.get $end)))
      (if (i32.eq (local.get $to) (local.get $at)) (then (return (i32.const 0))))))
  (if (i32.eq (i32.or (call $json_byte (local.get $to) (local.get $end)) (i32.const 32)) (i32.const 101))  ;; e, E
    (then
      (local.set $at (i32.add (local.get $to) (i32.const 1)))
      (local.set $byte (call $json_byte (local.get $at) (local.get $end)))
      (if (i32.or (i32.eq (local.get $byte) (i32.const 43)) (i32.eq (local.get $byte) (i32.const 45)))  ;; +, -
        (then (local.set $at (i32.add (local.get $at) (i32.const 1)))))
      (local.set $to (call $json_digits (local.get $at) (local.get $end)))
      (if (i32.gt_u (i32.sub (i32.sub (local.get $to) (local.get $at)) (i32.const 1)) (i32.const 1))
        (then (return (i32.const 0))))))
  (if (i32.gt_u (i32.sub (local.get $to) (local.get $from)) (i32.const 128))
    (then (return (i32.const 0))))
  (local.get $to))

;; The bytes of eight that are below 32, a quote or a backslash: the highest bit of each is set. A borrow may set more,
;; but only above the first of them, which is all that is looked at.
(func $json_special (param $eight i64) (result i64)
  (i64.and (i64.const 0x8080808080808080)
    (i64.or
      (call $below (local.get $eight) (i64.const 0x2020202020202020))
      (i64.or
        (call $below (i64.xor (local.get $eight) (i64.const 0x2222222222222222)) (i64.const 0x0101010101010101))
        (call $below (i64.xor (local.get $eight) (i64.const 0x5c5c5c5c5c5c5c5c)) (i64.const 0x0101010101010101))))))
(func $below (param $eight i64) (param $limits i64) (result i64)
  (i64.and
    (i64.sub (local.get $eight) (local.get $limits))
    (i64.xor (local.get $eight) (i64.const -1))))

;; Where a string ends whose first byte behind the quote stands here, behind its other quote; 0: not sure.
(func $json_string (param $at i32) (param $end i32) (result i32)
  (local $byte i32) (local $special i64)
  (global.set $json_escaped (i32.const 0))
  (loop $next
    (block $near
      (br_if $near
        (i64.gt_u
          (i64.add (i64.extend_i32_u (local.get $at)) (i64.const 8))
          (i64.extend_i32_u (local.get $end))))
      (local.set $special (call $json_special (i64.load align=1 (local.get $at))))
      (if (i64.eqz (local.get $special))
        (then
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (br $next)))
      (local.set $at
        (i32.add (local.get $at)
          (i32.wrap_i64 (i64.shr_u (i64.ctz (local.get $special)) (i64.const 3))))))
    (local.set $byte (call $json_byte (local.get $at) (local.get $end)))
    (if (i32.lt_u (local.get $byte) (i32.const 32)) (then (return (i32.const 0))))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (if (i32.eq (local.get $byte) (i32.const 34)) (then (return (local.get $at))))
    (br_if $next (i32.ne (local.get $byte) (i32.const 92)))
    (global.set $json_escaped (i32.const 1))
    (local.set $at (call $json_escape (local.get $at) (local.get $end)))
    (br_if $next (local.get $at)))
  (i32.const 0))

;; Where an escape ends whose letter stands here; 0: not sure.
(func $json_escape (param $at i32) (param $end i32) (result i32)
  (local $byte i32) (local $code i32) (local $digits i32)
  (local.set $byte (call $json_byte (local.get $at) (local.get $end)))
  (local.set $at (i32.add (local.get $at) (i32.const 1)))
  (block $unknown
    (block $four
      (block $one
        (br_if $one (i32.eq (local.get $byte) (i32.const 34)))   ;; a quote
        (br_if $one (i32.eq (local.get $byte) (i32.const 92)))   ;; a backslash
        (br_if $one (i32.eq (local.get $byte) (i32.const 47)))   ;; /
        (br_if $one (i32.eq (local.get $byte) (i32.const 98)))   ;; b
        (br_if $one (i32.eq (local.get $byte) (i32.const 102)))  ;; f
        (br_if $one (i32.eq (local.get $byte) (i32.const 110)))  ;; n
        (br_if $one (i32.eq (local.get $byte) (i32.const 114)))  ;; r
        (br_if $one (i32.eq (local.get $byte) (i32.const 116)))  ;; t
        (br_if $four (i32.eq (local.get $byte) (i32.const 117))) ;; u
        (br $unknown))
      (return (local.get $at)))
    (loop $next
      (local.set $byte (call $json_byte (local.get $at) (local.get $end)))
      (if (i32.gt_u (i32.sub (local.get $byte) (i32.const 48)) (i32.const 9))
        (then
          (local.set $byte (i32.sub (i32.or (local.get $byte) (i32.const 32)) (i32.const 97)))  ;; a
          (br_if $unknown (i32.gt_u (local.get $byte) (i32.const 5)))
          (local.set $byte (i32.add (local.get $byte) (i32.const 10))))
        (else (local.set $byte (i32.sub (local.get $byte) (i32.const 48)))))
      (local.set $code (i32.or (i32.shl (local.get $code) (i32.const 4)) (local.get $byte)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (local.set $digits (i32.add (local.get $digits) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $digits) (i32.const 4))))
    (br_if $unknown (i32.eq (i32.and (local.get $code) (i32.const 0xf800)) (i32.const 0xd800)))
    (return (local.get $at)))
  (i32.const 0))

;; Where a string, a number, true, false or null ends that begins here; 0: not sure.
(func $json_scalar (param $at i32) (param $end i32) (result i32)
  (local $byte i32)
  (local.set $byte (call $json_byte (local.get $at) (local.get $end)))
  (if (i32.eq (local.get $byte) (i32.const 34))
    (then (return (call $json_string (i32.add (local.get $at) (i32.const 1)) (local.get $end)))))
  (if (i32.lt_u (local.get $byte) (i32.const 58))
    (then (return (call $json_number (local.get $at) (local.get $end)))))
  (if (i32.gt_u (i32.const 4) (i32.sub (local.get $end) (local.get $at))) (then (return (i32.const 0))))
  (if (i32.or
        (i32.eq (i32.load align=1 (local.get $at)) (i32.const 0x65757274))   ;; true
        (i32.eq (i32.load align=1 (local.get $at)) (i32.const 0x6c6c756e)))  ;; null
    (then (return (i32.add (local.get $at) (i32.const 4)))))
  (if (i32.and
        (i32.eq (i32.load align=1 (local.get $at)) (i32.const 0x736c6166))   ;; fals
        (i32.eq
          (call $json_byte (i32.add (local.get $at) (i32.const 4)) (local.get $end))
          (i32.const 101)))
    (then (return (i32.add (local.get $at) (i32.const 5)))))
  (i32.const 0))

(func $json_row (param $member i32) (result i32)
  (i32.add (i32.const 0x1000) (i32.shl (local.get $member) (i32.const 4))))

;; Read an object: 1 if it surely is one, altogether; then its members can be asked for.
(func $json_object (param $at i32) (param $end i32) (result i32)
  (local $depth i32) (local $kinds i64) (local $first i32) (local $byte i32) (local $close i32) (local $name i32)
  (local $row i32)
  (global.set $json_count (i32.const 0))
  (local.set $at (call $json_space (local.get $at) (local.get $end)))
  (if (i32.ne (call $json_byte (local.get $at) (local.get $end)) (i32.const 123)) (then (return (i32.const 0))))
  (loop $open  ;; a container begins here
    (if (i32.eq (local.get $depth) (i32.const 64)) (then (return (i32.const 0))))
    (local.set $depth (i32.add (local.get $depth) (i32.const 1)))
    (local.set $kinds
      (i64.or
        (i64.shl (local.get $kinds) (i64.const 1))
        (i64.extend_i32_u
          (i32.eq (call $json_byte (local.get $at) (local.get $end)) (i32.const 123)))))
    (local.set $first (i32.const 1))
    (loop $element  ;; one bracket or comma on, a member or an element follows
      (local.set $at (call $json_space (i32.add (local.get $at) (i32.const 1)) (local.get $end)))
      (local.set $byte (call $json_byte (local.get $at) (local.get $end)))
      (block $empty
        (br_if $empty
          (i32.and (local.get $first) (i32.eq (local.get $byte) (call $json_close (local.get $kinds)))))
        (if (i32.wrap_i64 (i64.and (local.get $kinds) (i64.const 1)))
          (then
            (if (i32.ne (local.get $byte) (i32.const 34)) (then (return (i32.const 0))))
            (local.set $name (i32.add (local.get $at) (i32.const 1)))
            (local.set $at (call $json_string (local.get $name) (local.get $end)))
            (if (i32.eqz (local.get $at)) (then (return (i32.const 0))))
            (if (i32.eq (local.get $depth) (i32.const 1))
              (then
                (if (i32.or (global.get $json_escaped) (i32.eq (global.get $json_count) (i32.const 32)))
                  (then (return (i32.const 0))))
                (local.set $row (call $json_row (global.get $json_count)))
                (global.set $json_count (i32.add (global.get $json_count) (i32.const 1)))
                (i32.store (local.get $row) (local.get $name))
                (i32.store offset=4 (local.get $row)
                  (i32.sub (i32.sub (local.get $at) (local.get $name)) (i32.const 1)))))
            (local.set $at (call $json_space (local.get $at) (local.get $end)))
            (if (i32.ne (call $json_byte (local.get $at) (local.get $end)) (i32.const 58))
              (then (return (i32.const 0))))
            (local.set $at (call $json_space (i32.add (local.get $at) (i32.const 1)) (local.get $end)))
            (local.set $byte (call $json_byte (local.get $at) (local.get $end)))
            (if (i32.eq (local.get $depth) (i32.const 1))
              (then (i32.store offset=8 (local.get $row) (local.get $at))))))
        (br_if $open (i32.eq (i32.or (local.get $byte) (i32.const 32)) (i32.const 123)))  ;; { and [
        (local.set $at (call $json_scalar (local.get $at) (local.get $end)))
        (if (i32.eqz (local.get $at)) (then (return (i32.const 0)))))
      (loop $ended  ;; a value has ended here, or an empty container will
        (if (i32.and (i32.eq (local.get $depth) (i32.const 1)) (i32.ne (local.get $row) (i32.const 0)))
          (then
            (i32.store offset=12 (local.get $row)
              (i32.sub (local.get $at) (i32.load offset=8 (local.get $row))))))
        (local.set $at (call $json_space (local.get $at) (local.get $end)))
        (local.set $byte (call $json_byte (local.get $at) (local.get $end)))
        (local.set $first (i32.const 0))
        (br_if $element (i32.eq (local.get $byte) (i32.const 44)))
        (if (i32.ne (local.get $byte) (call $json_close (local.get $kinds))) (then (return (i32.const 0))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $depth (i32.sub (local.get $depth) (i32.const 1)))
        (local.set $kinds (i64.shr_u (local.get $kinds) (i64.const 1)))
        (br_if $ended (local.get $depth)))))
  (i32.eq (call $json_space (local.get $at) (local.get $end)) (local.get $end)))

(func $json_close (param $kinds i64) (result i32)  ;; what closes the innermost container
  (select (i32.const 125) (i32.const 93) (i32.wrap_i64 (i64.and (local.get $kinds) (i64.const 1)))))

;; The row of the member of a name, of the object that was read last; 0 if it has none, -1 if it has several.
(func $json_member (param $name i32) (param $bytes i32) (result i32)
  (local $row i32) (local $end i32) (local $found i32)
  (local.set $row (call $json_row (i32.const 0)))
  (local.set $end (call $json_row (global.get $json_count)))
  (block $all
    (loop $next
      (br_if $all (i32.eq (local.get $row) (local.get $end)))
      (if (call $json_is (local.get $row) (local.get $name) (local.get $bytes))
        (then (local.set $found (select (i32.const -1) (local.get $row) (local.get $found)))))
      (local.set $row (i32.add (local.get $row) (i32.const 16)))
      (br $next)))
  (local.get $found))

;; Whether a row begins with a pair of these bytes: its name, or, eight bytes on, its value.
(func $json_is (param $pair i32) (param $text i32) (param $bytes i32) (result i32)
  (if (i32.ne (i32.load offset=4 (local.get $pair)) (local.get $bytes)) (then (return (i32.const 0))))
  (call $same (i32.load (local.get $pair)) (local.get $text) (local.get $bytes)))

(func $same (param $one i32) (param $other i32) (param $bytes i32) (result i32)
  (block $end
    (loop $next
      (br_if $end (i32.eqz (local.get $bytes)))
      (local.set $bytes (i32.sub (local.get $bytes) (i32.const 1)))
      (br_if $next
        (i32.eq
          (i32.load8_u (i32.add (local.get $one) (local.get $bytes)))
          (i32.load8_u (i32.add (local.get $other) (local.get $bytes)))))
      (return (i32.const 0))))
  (i32.const 1))

;; What a guest asks for again and again is answered here, without a crossing, as long as the host allows it.
;;
;; The inbox: messages that the host has handed out beyond the one that was asked for. They stay where the host wrote them,
;; in a block of Extism's memory, one answer behind the other, and answer requests of exactly the same bytes. Every crossing
;; says how many are left. They are dropped, and the host takes them back, before a request of other bytes, before a
;; connection is opened or closed, and at the end of a call, when Extism's memory is emptied.
;;
;; The grants: keys of which publications were accepted. One of the same key, and surely of the form that the host accepts
;; (8-json.wat), is answered at once, and crosses as a record. What was not so sure crosses by itself, and the host is the
;; judge. Where it refuses anything it withdraws all grants, so that the next publication hears why.
;;
;;        0x600  what the host answers to a publication that it accepts
;;       0xc000  the request that the inbox answers, 4 KiB
;;       0xd000  the key of the publication that is crossing: u32 bytes, the bytes; 512 in all, as for each grant
;;       0xe000  the grants, 8 of 512 bytes

(global $inbox_at (mut i64) (i64.const 0))      ;; the next answer
(global $inbox_block (mut i64) (i64.const 0))   ;; the block that it stands in
(global $inbox_left (mut i32) (i32.const 0))
(global $inbox_dropped (mut i32) (i32.const 0)) ;; 1: those that are left are in no inbox any more, and the host is to know
(global $asked_bytes (mut i32) (i32.const 0))   ;; of the request that the inbox answers
(global $may_fill (mut i32) (i32.const 0))      ;; 1: a request is crossing that several messages may answer
(global $next_grant (mut i32) (i32.const 0))    ;; which of the eight goes next
(global $allowed (mut i32) (i32.const 0))       ;; 1: log records wait for the next crossing   2: the clock is the machine's

(data (i32.const 0x600) "{\22success\22:true}")

;; Before a crossing after which the inbox is of no use.
(func $drop_inbox
  (if (i32.and (i32.ne (global.get $inbox_left) (i32.const 0)) (i32.eqz (global.get $inbox_dropped)))
    (then
      (global.set $inbox_dropped (i32.const 1))
      (call $x_free (global.get $inbox_block))
      (global.set $inbox_block (i64.const 0)))))

;; A crossing has told the host of what was dropped.
(func $inbox_told
  (if (global.get $inbox_dropped)
    (then
      (global.set $inbox_dropped (i32.const 0))
      (global.set $inbox_left (i32.const 0)))))

;; A call begins or ends: Extism's memory is emptied.
(func $forget_inbox
  (global.set $inbox_block (i64.const 0))
  (global.set $inbox_left (i32.const 0))
  (global.set $inbox_dropped (i32.const 0)))

;; So many answers stand behind the first one, which ends at this place within a block of so many bytes. Whether the block
;; is kept for them.
(func $fill_inbox (param $block i64) (param $at i64) (param $left i32) (result i32)
  (if (i32.le_s (local.get $left) (i32.const 0)) (then (return (i32.const 0))))
  (global.set $inbox_block (local.get $block))
  (global.set $inbox_at (local.get $at))
  (global.set $inbox_left (local.get $left))
  (i32.const 1))

;; `ws_receive`: the next message of the inbox, if this is the request that it answers; or else a crossing.
(func $take (param $operation i32) (param $handle i64) (result i64)
  (local $entry i32) (local $from i32) (local $bytes i32) (local $answer i64)
  (if (i64.eqz (local.get $handle))
    (then
      (call $drop_inbox)
      (return (call $ask (local.get $operation) (local.get $handle)))))
  (local.set $entry (call $passed (local.get $handle)))
  (local.set $from (i32.load offset=8 (local.get $entry)))
  (local.set $bytes (i32.load offset=12 (local.get $entry)))
  (if (global.get $inbox_left)
    (then
      (if (i32.and
            (i32.eq (local.get $bytes) (global.get $asked_bytes))
            (call $same (local.get $from) (i32.const 0xc000) (local.get $bytes)))
        (then (return (call $from_inbox))))
      (call $drop_inbox)))
  (if (i32.le_u (local.get $bytes) (i32.const 0x1000))
    (then
      (global.set $may_fill (i32.const 1))
      (global.set $asked_bytes (local.get $bytes))
      (memory.copy (i32.const 0xc000) (local.get $from) (local.get $bytes))))
  (local.set $answer (call $ask (local.get $operation) (local.get $handle)))
  (global.set $may_fill (i32.const 0))
  (local.get $answer))

(func $from_inbox (result i64)
  (local $handle i64) (local $bytes i32)
  (local.set $bytes (i32.wrap_i64 (call $x_load (global.get $inbox_at))))
  (if (i32.or
        (i32.eqz (local.get $bytes))
        (i64.gt_u
          (i64.add
            (i64.sub (global.get $inbox_at) (global.get $inbox_block))
            (i64.add (i64.extend_i32_u (local.get $bytes)) (i64.const 8)))
          (call $x_length (global.get $inbox_block))))
    (then (call $misunderstood)))
  (local.set $handle (call $taken_in (i64.add (global.get $inbox_at) (i64.const 8)) (local.get $bytes)))
  (global.set $inbox_at
    (i64.add (global.get $inbox_at)
      (i64.extend_i32_u (i32.add (call $padded (local.get $bytes)) (i32.const 8)))))
  (global.set $inbox_left (i32.sub (global.get $inbox_left) (i32.const 1)))
  (if (i32.eqz (global.get $inbox_left))
    (then (call $x_free (global.get $inbox_block))))
  (call $trim)
  (local.get $handle))

;; `ws_connect` and `ws_close`: what was asked for before is not asked for any more.
(func $ask_anew (param $operation i32) (param $handle i64) (result i64)
  (call $drop_inbox)
  (call $ask (local.get $operation) (local.get $handle)))

;; `log_record`: nobody waits for its answer.
(func $note (param $operation i32) (param $handle i64) (result i64)
  (local $entry i32)
  (if (i32.or (i64.eqz (local.get $handle)) (i32.eqz (i32.and (global.get $allowed) (i32.const 1))))
    (then (return (call $ask (local.get $operation) (local.get $handle)))))
  (local.set $entry (call $passed (local.get $handle)))
  (if (i32.gt_u (i32.load offset=12 (local.get $entry)) (i32.const 0x8000))
    (then (return (call $ask (local.get $operation) (local.get $handle)))))
  (call $tell (i32.const 33) (local.get $handle))
  (i64.const 0))

;; `publish_stream_data`.
(func $publish (param $operation i32) (param $handle i64) (result i64)
  (local $entry i32) (local $from i32) (local $bytes i32) (local $key i32)
  (i32.store (i32.const 0xd000) (i32.const 0))
  (if (i64.eqz (local.get $handle)) (then (return (call $ask (local.get $operation) (local.get $handle)))))
  (local.set $entry (call $passed (local.get $handle)))
  (local.set $from (i32.load offset=8 (local.get $entry)))
  (local.set $bytes (i32.load offset=12 (local.get $entry)))
  (if (i32.le_u (local.get $bytes) (i32.const 0x8000))
    (then
      (local.set $key (call $publishable (local.get $from) (i32.add (local.get $from) (local.get $bytes))))
      (if (local.get $key)
        (then
          (if (call $is_granted (local.get $key))
            (then
              (memory.copy
                (call $record (i32.const 32) (local.get $bytes))
                (local.get $from)
                (local.get $bytes))
              (return (call $accepted))))
          (call $note_key (i32.const 0xd000) (local.get $key))))))
  (call $ask (local.get $operation) (local.get $handle)))

;; The row of the key of a publication that is surely well-formed; 0: not sure.
(func $publishable (param $from i32) (param $end i32) (result i32)
  (local $key i32)
  (if (i32.eqz (call $json_object (local.get $from) (local.get $end))) (then (return (i32.const 0))))
  (local.set $key (call $json_member (i32.const 0x400) (i32.const 3)))
  (if (i32.or
        (i32.or
          (i32.le_s (local.get $key) (i32.const 0))
          (i32.le_s (call $json_member (i32.const 0x408) (i32.const 4)) (i32.const 0)))
        (i32.lt_s (call $json_member (i32.const 0x410) (i32.const 9)) (i32.const 0)))
    (then (return (i32.const 0))))
  (local.get $key))

(func $note_key (param $to i32) (param $key i32)
  (local $bytes i32)
  (local.set $bytes (i32.load offset=12 (local.get $key)))
  (if (i32.gt_u (local.get $bytes) (i32.const 508)) (then (return)))
  (i32.store (local.get $to) (local.get $bytes))
  (memory.copy
    (i32.add (local.get $to) (i32.const 4))
    (i32.load offset=8 (local.get $key))
    (local.get $bytes)))

(func $is_granted (param $key i32) (result i32)
  (local $grant i32)
  (local.set $grant (i32.const 0xe000))
  (loop $next
    (if (i32.eq (i32.load (local.get $grant)) (i32.load offset=12 (local.get $key)))
      (then
        (if (call $same
              (i32.load offset=8 (local.get $key))
              (i32.add (local.get $grant) (i32.const 4))
              (i32.load (local.get $grant)))
          (then (return (i32.const 1))))))
    (local.set $grant (i32.add (local.get $grant) (i32.const 512)))
    (br_if $next (i32.lt_u (local.get $grant) (i32.const 0xf000))))
  (i32.const 0))

;; The host has accepted the publication that has just crossed, and grants its key.
(func $grant
  (if (i32.load (i32.const 0xd000))
    (then
      (memory.copy
        (i32.add (i32.const 0xe000) (i32.shl (global.get $next_grant) (i32.const 9)))
        (i32.const 0xd000)
        (i32.const 512))
      (i32.store (i32.const 0xd000) (i32.const 0))
      (global.set $next_grant (i32.and (i32.add (global.get $next_grant) (i32.const 1)) (i32.const 7))))))

(func $withdraw
  (local $grant i32)
  (local.set $grant (i32.const 0xe000))
  (loop $next
    (i32.store (local.get $grant) (i32.const 0))
    (local.set $grant (i32.add (local.get $grant) (i32.const 512)))
    (br_if $next (i32.lt_u (local.get $grant) (i32.const 0xf000)))))

(func $accepted (result i64)
  (local $handle i64) (local $entry i32)
  (local.set $handle (call $alloc (i64.const 16)))
  (local.set $entry (call $entry_of (local.get $handle)))
  (memory.copy (i32.load offset=8 (local.get $entry)) (i32.const 0x600) (i32.const 16))
  (call $cross_block (local.get $entry))
  (call $trim)
  (local.get $handle))

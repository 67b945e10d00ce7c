;; Blocks and their handles. What a guest takes for an offset in the kernel's memory is
;;
;;     generation (21 bits) · slot (16 bits) · byte within the block (26 bits)
;;
;; Each slot counts its uses, so that no handle is ever given out twice, and a use of one whose block has gone is
;; recognised where it happens. An entry of the table of slots:
;;
;;     +0 i64 handle   +8 i32 first byte   +12 i32 length   +16 i32 last   +20 i32 next   +24 i32 order   +28 i32 state
;;
;; Two lists, each from the block that was used longest ago to the latest: of those that have crossed the border or
;; outlived the call they were made in (their sentinel is slot 0), and of those that are the guest's alone so far (slot
;; 65,535). What has crossed is kept until $retained bytes of it have been used after it. What has not is dropped only
;; where there is no room any more. The states:
;;
;;     0 never used   1 the guest's alone   2 has crossed   3 freed by the guest, still there   4 gone, was freed
;;     5 gone, reclaimed here   6 gone, for want of room

(global $slots (mut i32) (i32.const 1))        ;; the first slot that was never used
(global $idle_first (mut i32) (i32.const 0))   ;; slots to be used again, the oldest first
(global $idle_last (mut i32) (i32.const 0))
(global $idle (mut i32) (i32.const 0))
(global $crossed (mut i32) (i32.const 0))      ;; blocks in the first list, and their bytes
(global $crossed_bytes (mut i64) (i64.const 0))
(global $private (mut i32) (i32.const 0))      ;; blocks in the other
(global $private_bytes (mut i64) (i64.const 0))
(global $squeezing (mut i32) (i32.const 0))    ;; 1 while blocks are dropped for want of room
(global $reclaimed (mut i64) (i64.const 0))    ;; blocks that were dropped and had not been freed

;; The block that was used last, so that most loads and stores need no look-up: its handle and first byte, and how many
;; places it has at which one byte, or eight, can be loaded.
(global $at_handle (mut i64) (i64.const -1))
(global $at_byte (mut i32) (i32.const 0))
(global $at_bytes (mut i64) (i64.const 0))
(global $at_words (mut i64) (i64.const 0))

(func $entry (param $slot i32) (result i32)
  (i32.add (i32.const 0x20000) (i32.shl (local.get $slot) (i32.const 5))))
(func $slot (param $entry i32) (result i32)
  (i32.shr_u (i32.sub (local.get $entry) (i32.const 0x20000)) (i32.const 5)))
(func $entry_of (param $handle i64) (result i32)
  (call $entry
    (i32.and (i32.wrap_i64 (i64.shr_u (local.get $handle) (i64.const 26))) (i32.const 0xffff))))
(func $base (param $handle i64) (result i64)
  (i64.and (local.get $handle) (i64.const -0x4000000)))
(func $state (param $entry i32) (result i32)
  (i32.load offset=28 (local.get $entry)))
(func $bytes (param $entry i32) (result i64)  ;; that it takes from the heap
  (i64.shl (i64.const 1) (i64.extend_i32_u (i32.load offset=24 (local.get $entry)))))

;; Lists

(func $cut (param $entry i32)
  (local $last i32) (local $next i32)
  (local.set $last (i32.load offset=16 (local.get $entry)))
  (local.set $next (i32.load offset=20 (local.get $entry)))
  (i32.store offset=20 (call $entry (local.get $last)) (local.get $next))
  (i32.store offset=16 (call $entry (local.get $next)) (local.get $last))
  (if (i32.eq (call $state (local.get $entry)) (i32.const 1))
    (then
      (global.set $private (i32.sub (global.get $private) (i32.const 1)))
      (global.set $private_bytes (i64.sub (global.get $private_bytes) (call $bytes (local.get $entry)))))
    (else
      (global.set $crossed (i32.sub (global.get $crossed) (i32.const 1)))
      (global.set $crossed_bytes (i64.sub (global.get $crossed_bytes) (call $bytes (local.get $entry)))))))

;; Put a block at the end of the list that its state belongs to.
(func $append (param $entry i32)
  (local $sentinel i32) (local $last i32)
  (if (i32.eq (call $state (local.get $entry)) (i32.const 1))
    (then
      (local.set $sentinel (i32.const 65535))
      (global.set $private (i32.add (global.get $private) (i32.const 1)))
      (global.set $private_bytes (i64.add (global.get $private_bytes) (call $bytes (local.get $entry)))))
    (else
      (global.set $crossed (i32.add (global.get $crossed) (i32.const 1)))
      (global.set $crossed_bytes (i64.add (global.get $crossed_bytes) (call $bytes (local.get $entry))))))
  (local.set $last (i32.load offset=16 (call $entry (local.get $sentinel))))
  (i32.store offset=16 (local.get $entry) (local.get $last))
  (i32.store offset=20 (local.get $entry) (local.get $sentinel))
  (i32.store offset=20 (call $entry (local.get $last)) (call $slot (local.get $entry)))
  (i32.store offset=16 (call $entry (local.get $sentinel)) (call $slot (local.get $entry))))

;; A living block is used: it is the latest of its list.
(func $touch (param $entry i32)
  (call $cut (local.get $entry))
  (call $append (local.get $entry)))

;; A living block gets another state, and is the latest.
(func $become (param $entry i32) (param $state i32)
  (call $cut (local.get $entry))
  (i32.store offset=28 (local.get $entry) (local.get $state))
  (call $append (local.get $entry)))

;; A block crosses the border.
(func $cross_block (param $entry i32)
  (call $become (local.get $entry)
    (select (i32.const 3) (i32.const 2) (i32.eq (call $state (local.get $entry)) (i32.const 3)))))

;; A call begins: what the one before made and kept to itself may be reclaimed in time.
(func $age
  (local $slot i32)
  (loop $next
    (local.set $slot (i32.load offset=20 (i32.const 0x21ffe0)))
    (if (i32.ne (local.get $slot) (i32.const 65535))
      (then
        (call $become (call $entry (local.get $slot)) (i32.const 2))
        (br $next)))))

;; Ends

(func $drop (param $entry i32)
  (call $cut (local.get $entry))
  (if (i64.eq (i64.load (local.get $entry)) (global.get $at_handle))
    (then (call $forget)))
  (call $give_piece
    (i32.sub (i32.load offset=8 (local.get $entry)) (i32.const 8))
    (i32.load offset=24 (local.get $entry)))
  (if (i32.eq (call $state (local.get $entry)) (i32.const 3))
    (then (i32.store offset=28 (local.get $entry) (i32.const 4)))
    (else
      (global.set $reclaimed (i64.add (global.get $reclaimed) (i64.const 1)))
      (i32.store offset=28 (local.get $entry) (i32.add (i32.const 5) (global.get $squeezing)))))
  ;; A slot whose generations are used up stays as it is, for ever.
  (if (i64.lt_u (i64.shr_u (i64.load (local.get $entry)) (i64.const 42)) (i64.const 0x1fffff))
    (then
      (i32.store offset=20 (local.get $entry) (i32.const 0))
      (if (global.get $idle)
        (then
          (i32.store offset=20 (call $entry (global.get $idle_last)) (call $slot (local.get $entry))))
        (else (global.set $idle_first (call $slot (local.get $entry)))))
      (global.set $idle_last (call $slot (local.get $entry)))
      (global.set $idle (i32.add (global.get $idle) (i32.const 1))))))

(func $forget
  (global.set $at_handle (i64.const -1))
  (global.set $at_bytes (i64.const 0))
  (global.set $at_words (i64.const 0)))

;; Drop the block of a list that was used longest ago; the one that is being used right now comes to the list's end.
(func $drop_oldest (param $sentinel i32)
  (local $entry i32)
  (local.set $entry (call $entry (i32.load offset=20 (call $entry (local.get $sentinel)))))
  (if (i64.eq (i64.load (local.get $entry)) (global.get $at_handle))
    (then
      (call $touch (local.get $entry))
      (local.set $entry (call $entry (i32.load offset=20 (call $entry (local.get $sentinel)))))))
  (call $drop (local.get $entry)))

;; Hold what has crossed to what is retained of it. The latest 64 blocks stay, however large.
(func $trim
  (loop $more
    (if (i32.and
          (i32.gt_u (global.get $crossed) (i32.const 64))
          (i64.gt_u (global.get $crossed_bytes) (global.get $retained)))
      (then
        (call $drop_oldest (i32.const 0))
        (br $more)))))

;; Make room by dropping a block that could still be used. Returns 0 if there is none.
(func $squeeze (result i32)
  (local $found i32)
  (global.set $squeezing (i32.const 1))
  (local.set $found (call $drop_least))
  (global.set $squeezing (i32.const 0))
  (local.get $found))

(func $drop_least (result i32)
  (if (i32.gt_u (global.get $crossed) (i32.const 8))
    (then
      (call $drop_oldest (i32.const 0))
      (return (i32.const 1))))
  (if (i32.gt_u (global.get $private) (i32.const 64))
    (then
      (call $drop_oldest (i32.const 65535))
      (return (i32.const 1))))
  (i32.const 0))

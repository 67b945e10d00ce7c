;; The heap: room for blocks, in a buddy system. A piece of order k has 2^k bytes and stands at a multiple of them (from
;; the heap's beginning). It begins with a header of 8 bytes: its order, and 0x100 if it is free. A free piece has the
;; next and the last of its list after that. Free halves of one whole are joined at once, so nothing ever fragments for
;; good; every operation takes at most one step for each of the 22 orders.

(global $heap_end (mut i32) (i32.const 0x220000))
(global $free_orders (mut i32) (i32.const 0))  ;; bit k: there is a free piece of order k

(func $head (param $order i32) (result i32)  ;; where the head of an order's list stands
  (i32.add (i32.const 0x100) (i32.shl (local.get $order) (i32.const 2))))

(func $push_free (param $piece i32) (param $order i32)
  (local $next i32)
  (local.set $next (i32.load (call $head (local.get $order))))
  (i32.store (local.get $piece) (i32.or (local.get $order) (i32.const 0x100)))
  (i32.store offset=8 (local.get $piece) (local.get $next))
  (i32.store offset=12 (local.get $piece) (i32.const 0))
  (if (local.get $next)
    (then (i32.store offset=12 (local.get $next) (local.get $piece))))
  (i32.store (call $head (local.get $order)) (local.get $piece))
  (global.set $free_orders
    (i32.or (global.get $free_orders) (i32.shl (i32.const 1) (local.get $order)))))

(func $cut_free (param $piece i32) (param $order i32)
  (local $next i32) (local $last i32)
  (local.set $next (i32.load offset=8 (local.get $piece)))
  (local.set $last (i32.load offset=12 (local.get $piece)))
  (if (local.get $next)
    (then (i32.store offset=12 (local.get $next) (local.get $last))))
  (if (local.get $last)
    (then (i32.store offset=8 (local.get $last) (local.get $next)))
    (else
      (i32.store (call $head (local.get $order)) (local.get $next))
      (if (i32.eqz (local.get $next))
        (then
          (global.set $free_orders
            (i32.and (global.get $free_orders)
              (i32.xor (i32.const -1) (i32.shl (i32.const 1) (local.get $order))))))))))

;; The other half of the whole that a piece is one half of.
(func $buddy (param $piece i32) (param $order i32) (result i32)
  (i32.add (i32.const 0x220000)
    (i32.xor
      (i32.sub (local.get $piece) (i32.const 0x220000))
      (i32.shl (i32.const 1) (local.get $order)))))

;; Give a piece back, joined with its free buddies.
(func $give_piece (param $piece i32) (param $order i32)
  (local $buddy i32)
  (block $alone
    (loop $join
      (br_if $alone (i32.ge_u (local.get $order) (i32.const 26)))
      (local.set $buddy (call $buddy (local.get $piece) (local.get $order)))
      (br_if $alone
        (i32.gt_u
          (i32.add (local.get $buddy) (i32.shl (i32.const 1) (local.get $order)))
          (global.get $heap_end)))
      (br_if $alone
        (i32.ne (i32.load (local.get $buddy)) (i32.or (local.get $order) (i32.const 0x100))))
      (call $cut_free (local.get $buddy) (local.get $order))
      (if (i32.lt_u (local.get $buddy) (local.get $piece))
        (then (local.set $piece (local.get $buddy))))
      (local.set $order (i32.add (local.get $order) (i32.const 1)))
      (br $join)))
  (call $push_free (local.get $piece) (local.get $order)))

;; A piece of an order; 0 if the budget has no room for it.
(func $take_piece (param $order i32) (result i32)
  (local $larger i32) (local $piece i32)
  (local.set $larger
    (i32.and (global.get $free_orders) (i32.shl (i32.const -1) (local.get $order))))
  (if (i32.eqz (local.get $larger))
    (then (return (call $extend (local.get $order)))))
  (local.set $larger (i32.ctz (local.get $larger)))
  (local.set $piece (i32.load (call $head (local.get $larger))))
  (call $cut_free (local.get $piece) (local.get $larger))
  (block $fits
    (loop $halve
      (br_if $fits (i32.eq (local.get $larger) (local.get $order)))
      (local.set $larger (i32.sub (local.get $larger) (i32.const 1)))
      (call $push_free
        (i32.add (local.get $piece) (i32.shl (i32.const 1) (local.get $larger)))
        (local.get $larger))
      (br $halve)))
  (i32.store (local.get $piece) (local.get $order))
  (local.get $piece))

;; Lengthen the heap by a piece, and by free ones before it until it stands where it may.
(func $extend (param $order i32) (result i32)
  (local $piece i32) (local $end i64) (local $gap i32) (local $pages i32)
  (local.set $piece
    (i32.add (i32.const 0x220000)
      (i32.and
        (i32.add
          (i32.sub (global.get $heap_end) (i32.const 0x220000))
          (i32.sub (i32.shl (i32.const 1) (local.get $order)) (i32.const 1)))
        (i32.sub (i32.const 0) (i32.shl (i32.const 1) (local.get $order))))))
  (local.set $end
    (i64.add
      (i64.extend_i32_u (local.get $piece))
      (i64.shl (i64.const 1) (i64.extend_i32_u (local.get $order)))))
  (if (i64.gt_u (local.get $end) (i64.add (global.get $budget) (i64.const 0x220000)))
    (then (return (i32.const 0))))
  ;; There is a word behind the last piece: an output may begin anywhere, and is copied in words (see $push).
  (local.set $pages
    (i32.wrap_i64 (i64.shr_u (i64.add (local.get $end) (i64.const 0x10007)) (i64.const 16))))
  (if (i32.gt_u (local.get $pages) (memory.size))
    (then
      (if (i32.eq (i32.const -1) (memory.grow (i32.sub (local.get $pages) (memory.size))))
        (then (return (i32.const 0))))))
  (block $aligned
    (loop $fill
      (br_if $aligned (i32.eq (global.get $heap_end) (local.get $piece)))
      (local.set $gap (i32.ctz (i32.sub (global.get $heap_end) (i32.const 0x220000))))
      (global.set $heap_end
        (i32.add (global.get $heap_end) (i32.shl (i32.const 1) (local.get $gap))))
      (call $give_piece
        (i32.sub (global.get $heap_end) (i32.shl (i32.const 1) (local.get $gap)))
        (local.get $gap))
      (br $fill)))
  (global.set $heap_end (i32.wrap_i64 (local.get $end)))
  (i32.store (local.get $piece) (local.get $order))
  (local.get $piece))

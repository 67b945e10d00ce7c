;; Several messages in one call: Extism's input holds them all, and `main` lets the guest handle one after the other.
;;
;; A batch is messages one behind the other, each: u64 bytes, the bytes. While the guest handles one, that is its input.
;; What it has answered is a record of kind 6: i32 return code, u32 flags, the output. Flags: 1 the output is that of the
;; call, for it was too long for a record   2 no further message is given to the guest in this call.
;;
;; The host has to look at some answers before it gives the next message: so nothing follows one that failed, that asks
;; for something to be done with the connection, or that is of a form which only the host can judge.

(global $batched (mut i32) (i32.const 0))       ;; 1 while a message of a batch is handled
(global $input_at (mut i64) (i64.const 0))      ;; where the input begins within Extism's
(global $input_bytes (mut i64) (i64.const 0))
(global $output_kept (mut i32) (i32.const 0))   ;; bytes of the message's output, at 0x4000; 0: there is none there
(global $told_error (mut i32) (i32.const 0))    ;; 1: there is something in error memory

;; A call begins: its input is Extism's, altogether.
(func $whole_input
  (global.set $batched (i32.const 0))
  (global.set $input_at (i64.const 0))
  (global.set $input_bytes (call $x_input_length))
  (call $new_message))

(func $new_message
  (global.set $input (i64.const 0))
  (global.set $output (i64.const 0))
  (global.set $output_kept (i32.const 0))
  (global.set $told_error (i32.const 0)))

;; The next message begins; the first one behind the beginning of the call.
(func (export "next")
  (local $at i64)
  (if (global.get $batched)
    (then (local.set $at (i64.add (global.get $input_at) (global.get $input_bytes)))))
  (global.set $batched (i32.const 1))
  (global.set $input_bytes (call $x_input_load_u64 (local.get $at)))
  (global.set $input_at (i64.add (local.get $at) (i64.const 8)))
  (call $new_message)
  (call $age)
  (call $trim))

;; A message has been handled. Returns whether the next one may begin.
(func (export "done") (param $code i32) (result i32)
  (local $to i32) (local $on i32)
  (local.set $on
    (i32.and
      (call $needs_nobody (local.get $code))
      (i64.lt_u (i64.add (global.get $input_at) (global.get $input_bytes)) (call $x_input_length))))
  (local.set $to (call $record (i32.const 6) (i32.add (global.get $output_kept) (i32.const 8))))
  (i32.store (local.get $to) (local.get $code))
  (i32.store offset=4 (local.get $to)
    (i32.or
      (i64.ne (global.get $output) (i64.const 0))
      (i32.shl (i32.eqz (local.get $on)) (i32.const 1))))
  (memory.copy (i32.add (local.get $to) (i32.const 8)) (i32.const 0x4000) (global.get $output_kept))
  (local.get $on))

;; Whether nobody has to look at what was answered before the next message.
(func $needs_nobody (param $code i32) (result i32)
  (local $row i32)
  (if (i32.or (local.get $code) (global.get $told_error)) (then (return (i32.const 0))))
  (if (i32.eqz
        (call $json_object (i32.const 0x4000) (i32.add (i32.const 0x4000) (global.get $output_kept))))
    (then (return (i32.const 0))))
  (local.set $row (call $json_member (i32.const 0x420) (i32.const 7)))  ;; success
  (if (local.get $row)
    (then
      (if (i32.eq (local.get $row) (i32.const -1)) (then (return (i32.const 0))))
      (if (i32.ne (i32.load (i32.load offset=8 (local.get $row))) (i32.const 0x65757274))  ;; true
        (then (return (i32.const 0))))))
  (if (i32.eqz (call $text_or_none (i32.const 0x434) (i32.const 8))) (then (return (i32.const 0))))   ;; dataType
  (if (i32.eqz (call $text_or_none (i32.const 0x43c) (i32.const 11))) (then (return (i32.const 0))))  ;; sendMessage
  (local.set $row (call $json_member (i32.const 0x428) (i32.const 6)))  ;; action
  (if (i32.eqz (local.get $row)) (then (return (i32.const 1))))
  (if (i32.eq (local.get $row) (i32.const -1)) (then (return (i32.const 0))))
  (local.set $row (i32.add (local.get $row) (i32.const 8)))
  (if (call $json_is (local.get $row) (i32.const 0x450) (i32.const 6))  ;; "data"
    (then (return (i32.gt_s (call $json_member (i32.const 0x408) (i32.const 4)) (i32.const 0)))))
  (call $json_is (local.get $row) (i32.const 0x458) (i32.const 8)))     ;; "ignore"

(func $text_or_none (param $name i32) (param $bytes i32) (result i32)  ;; what a member is, which occurs once at most
  (local $row i32)
  (local.set $row (call $json_member (local.get $name) (local.get $bytes)))
  (if (i32.eqz (local.get $row)) (then (return (i32.const 1))))
  (if (i32.eq (local.get $row) (i32.const -1)) (then (return (i32.const 0))))
  (i32.eq (i32.load8_u (i32.load offset=8 (local.get $row))) (i32.const 34)))

(data (i32.const 0x434) "dataType" "sendMessage")
(data (i32.const 0x450) "\"data\"\00\00" "\"ignore\"")

;; The rest of Extism's kernel, as guests know it: input, output, errors, variables, configuration, logging.

(global $input (mut i64) (i64.const 0))   ;; the block of this call's input that was made last
(global $output (mut i64) (i64.const 0))  ;; the block of Extism's with this call's output
(global $output_bytes (mut i32) (i32.const 0))  ;; how many there are in it

(func (export "env.input_length") (result i64)
  (global.get $input_bytes))
(func $input_byte (export "env.input_load_u8") (param $at i64) (result i32)
  (if (i64.ge_u (local.get $at) (global.get $input_bytes)) (then (return (i32.const 0))))
  (call $x_input_load_u8 (i64.add (global.get $input_at) (local.get $at))))
(func (export "env.input_load_u64") (param $at i64) (result i64)
  ;; As in Extism, there is nothing where eight bytes are not all within the input.
  (if (i64.ge_u (local.get $at) (global.get $input_bytes)) (then (return (i64.const 0))))
  (if (i64.lt_u (i64.sub (global.get $input_bytes) (local.get $at)) (i64.const 8))
    (then (return (i64.const 0))))
  (call $x_input_load_u64 (i64.add (global.get $input_at) (local.get $at))))

(func (export "env.input_offset") (result i64)
  (local $byte i32) (local $i i64) (local $length i64)
  (if (call $is_there (global.get $input)) (then (return (global.get $input))))
  (local.set $length (global.get $input_bytes))
  (global.set $input (call $alloc (local.get $length)))
  (if (i64.eqz (global.get $input)) (then (return (i64.const 0))))
  (local.set $byte (i32.load offset=8 (call $entry_of (global.get $input))))
  (loop $next
    (i32.store8
      (i32.add (local.get $byte) (i32.wrap_i64 (local.get $i)))
      (call $input_byte (local.get $i)))
    (local.set $i (i64.add (local.get $i) (i64.const 1)))
    (br_if $next (i64.lt_u (local.get $i) (local.get $length))))
  (call $cross_block (call $entry_of (global.get $input)))
  (call $trim)
  (global.get $input))

;; The output is copied when it is set: the guest may free its block, or use it again, before the call ends. That of one
;; message of a batch is kept here, unless it is too long for a record (see 9-messages.wat).
(func (export "env.output_set") (param $handle i64) (param $length i64)
  (local $byte i32) (local $bytes i32)
  ;; As in Extism: nothing of a block is an empty output, nothing at 0 leaves what was set before.
  (if (i64.eqz (local.get $length))
    (then
      (if (i64.ne (local.get $handle) (i64.const 0))
        (then
          (global.set $output_kept (i32.const 0))
          (call $drop_output)))
      (return)))
  (if (i64.gt_u (local.get $length) (global.get $max_output))
    (then (call $fault (i32.const 8) (local.get $length))))
  (local.set $byte (call $at (local.get $handle) (local.get $length)))
  (call $cross_block (call $entry_of (local.get $handle)))
  (if (i32.and (global.get $batched) (i64.le_u (local.get $length) (i64.const 0x8000)))
    (then
      (call $drop_output)
      (global.set $output_kept (i32.wrap_i64 (local.get $length)))
      (memory.copy (i32.const 0x4000) (local.get $byte) (global.get $output_kept))
      (call $trim)
      (return)))
  (global.set $output_kept (i32.const 0))
  (local.set $bytes (call $padded (i32.wrap_i64 (local.get $length))))
  (call $open_output (local.get $bytes))
  (call $push (global.get $output) (local.get $byte) (local.get $bytes))
  (call $x_output_set (global.get $output) (local.get $length))
  (call $trim))

;; Room for an output of so many bytes: where the one before was, or in a block of a power of two. Extism never joins
;; what was freed, so that outputs that grow a little each time would take more and more of its memory.
(func $open_output (param $bytes i32)
  (if (i32.and
        (i64.ne (global.get $output) (i64.const 0))
        (i32.le_u (local.get $bytes) (global.get $output_bytes)))
    (then (return)))
  (call $drop_output)
  (global.set $output_bytes
    (i32.shl (i32.const 1)
      (i32.sub (i32.const 32) (i32.clz (i32.sub (local.get $bytes) (i32.const 1))))))
  (global.set $output (call $x_alloc (i64.extend_i32_u (global.get $output_bytes))))
  (if (i64.eqz (global.get $output))
    (then (call $fault (i32.const 4) (i64.extend_i32_u (local.get $bytes))))))

;; Extism passes over an output at 0, so that the one of before is made empty where it is.
(func $drop_output
  (if (i64.ne (global.get $output) (i64.const 0))
    (then
      (call $x_output_set (global.get $output) (i64.const 0))
      (call $x_free (global.get $output))
      (global.set $output (i64.const 0)))))

;; An error's text comes in several records if it is long, and one byte more of it than may be shows that it is cut.
(func (export "env.error_set") (param $handle i64)
  (local $entry i32) (local $from i32) (local $left i32) (local $kind i32) (local $bytes i32)
  (local.set $kind (i32.const 1))
  (if (i64.ne (local.get $handle) (i64.const 0))
    (then
      (local.set $entry (call $passed (local.get $handle)))
      (local.set $from (i32.load offset=8 (local.get $entry)))
      (local.set $left (i32.load offset=12 (local.get $entry)))
      (if (i64.gt_u (i64.extend_i32_u (local.get $left)) (global.get $max_error))
        (then (local.set $left (i32.add (i32.wrap_i64 (global.get $max_error)) (i32.const 1)))))))
  (global.set $told_error (i32.ne (local.get $left) (i32.const 0)))
  (loop $next
    (local.set $bytes
      (select (local.get $left) (i32.const 0x8000) (i32.lt_u (local.get $left) (i32.const 0x8000))))
    (memory.copy (call $record (local.get $kind) (local.get $bytes)) (local.get $from) (local.get $bytes))
    (local.set $from (i32.add (local.get $from) (local.get $bytes)))
    (local.set $left (i32.sub (local.get $left) (local.get $bytes)))
    (local.set $kind (i32.const 5))
    (br_if $next (local.get $left)))
  (call $trim))

(func (export "env.config_get") (param $name i64) (result i64)
  (call $ask (i32.const 4) (local.get $name)))

(func (export "env.var_get") (param $name i64) (result i64)
  (call $ask (i32.const 5) (local.get $name)))

;; The name goes ahead as a record, also an empty one. No value removes the variable.
(func (export "env.var_set") (param $name i64) (param $value i64)
  (if (i64.eqz (local.get $name))
    (then (drop (call $record (i32.const 2) (i32.const 0)))))
  (call $tell (i32.const 2) (local.get $name))
  (drop
    (call $ask
      (select (i32.const 7) (i32.const 6) (i64.eqz (local.get $value)))
      (local.get $value))))

(func (export "env.log_trace") (param $text i64) (call $log (i32.const 0) (local.get $text)))
(func (export "env.log_debug") (param $text i64) (call $log (i32.const 1) (local.get $text)))
(func (export "env.log_info") (param $text i64) (call $log (i32.const 2) (local.get $text)))
(func (export "env.log_warn") (param $text i64) (call $log (i32.const 3) (local.get $text)))
(func (export "env.log_error") (param $text i64) (call $log (i32.const 4) (local.get $text)))
(func (export "env.get_log_level") (result i32) (global.get $log_level))

(func $log (param $level i32) (param $text i64)
  (if (i32.ge_u (local.get $level) (global.get $log_level))
    (then (call $tell (i32.add (i32.const 16) (local.get $level)) (local.get $text)))))

;; Extism's own HTTP client, which would pass every policy by.
(func (export "env.http_request") (param i64 i64) (result i64)
  (call $fault (i32.const 5) (i64.const 0))
  (unreachable))
(func (export "env.http_status_code") (result i32) (i32.const 0))
(func (export "env.http_headers") (result i64) (i64.const 0))

"""What the plugin runtime itself offers to a module: Extism's kernel, and WASI preview 1.

Beside the host functions of :mod:`detectors.rules` these are the only imports that anything answers. The signatures
are those that Extism 1.41 links (asked of it function by function, and compared again by a test). The kernel that a
guest has is the companion's, which serves just these.
"""

from __future__ import annotations

from detectors.module import FunctionType

__all__ = ["KERNEL_FUNCTIONS", "KERNEL_HTTP", "KERNEL_ONLY", "WASI_FUNCTIONS"]


def _functions(table: str) -> dict[str, FunctionType]:
    """Read lines of ``name: parameters -> results``; ``4*i32`` stands for four of them."""
    found = {}
    for line in table.strip().splitlines():
        name, _, signature = line.partition(":")
        params, _, results = signature.partition("->")
        found[name.strip()] = FunctionType(_values(params), _values(results))
    return found


def _values(text: str) -> tuple[str, ...]:
    words = (word.rpartition("*") for word in text.split())
    return tuple(value for times, _, value in words for _ in range(int(times or 1)))


#: What Extism's kernel has for its own host, and no PDK imports: with these a guest would reach beneath the companion.
KERNEL_ONLY = frozenset({"input_set", "output_length", "output_offset", "error_get", "memory_bytes", "reset"})

#: The functions of Extism's kernel that guests may use, by name.
KERNEL_FUNCTIONS = _functions("""
    alloc: i64 -> i64
    free: i64 ->
    length: i64 -> i64
    length_unsafe: i64 -> i64
    load_u8: i64 -> i32
    load_u64: i64 -> i64
    store_u8: i64 i32 ->
    store_u64: i64 i64 ->
    input_load_u8: i64 -> i32
    input_load_u64: i64 -> i64
    input_length: -> i64
    input_offset: -> i64
    output_set: i64 i64 ->
    error_set: i64 ->
    config_get: i64 -> i64
    var_get: i64 -> i64
    var_set: i64 i64 ->
    http_request: i64 i64 -> i64
    http_status_code: -> i32
    http_headers: -> i64
    log_trace: i64 ->
    log_debug: i64 ->
    log_info: i64 ->
    log_warn: i64 ->
    log_error: i64 ->
    get_log_level: -> i32
""")

#: Those of them that make HTTP requests past the host.
KERNEL_HTTP = frozenset({"http_request", "http_status_code", "http_headers"})

#: The functions of WASI preview 1 by name.
WASI_FUNCTIONS = _functions("""
    args_get: 2*i32 -> i32
    args_sizes_get: 2*i32 -> i32
    clock_res_get: 2*i32 -> i32
    clock_time_get: i32 i64 i32 -> i32
    environ_get: 2*i32 -> i32
    environ_sizes_get: 2*i32 -> i32
    fd_advise: i32 2*i64 i32 -> i32
    fd_allocate: i32 2*i64 -> i32
    fd_close: i32 -> i32
    fd_datasync: i32 -> i32
    fd_fdstat_get: 2*i32 -> i32
    fd_fdstat_set_flags: 2*i32 -> i32
    fd_fdstat_set_rights: i32 2*i64 -> i32
    fd_filestat_get: 2*i32 -> i32
    fd_filestat_set_size: i32 i64 -> i32
    fd_filestat_set_times: i32 2*i64 i32 -> i32
    fd_pread: 3*i32 i64 i32 -> i32
    fd_prestat_dir_name: 3*i32 -> i32
    fd_prestat_get: 2*i32 -> i32
    fd_pwrite: 3*i32 i64 i32 -> i32
    fd_read: 4*i32 -> i32
    fd_readdir: 3*i32 i64 i32 -> i32
    fd_renumber: 2*i32 -> i32
    fd_seek: i32 i64 2*i32 -> i32
    fd_sync: i32 -> i32
    fd_tell: 2*i32 -> i32
    fd_write: 4*i32 -> i32
    path_create_directory: 3*i32 -> i32
    path_filestat_get: 5*i32 -> i32
    path_filestat_set_times: 4*i32 2*i64 i32 -> i32
    path_link: 7*i32 -> i32
    path_open: 5*i32 2*i64 2*i32 -> i32
    path_readlink: 6*i32 -> i32
    path_remove_directory: 3*i32 -> i32
    path_rename: 6*i32 -> i32
    path_symlink: 5*i32 -> i32
    path_unlink_file: 3*i32 -> i32
    poll_oneoff: 4*i32 -> i32
    proc_exit: i32 ->
    proc_raise: i32 -> i32
    random_get: 2*i32 -> i32
    sched_yield: -> i32
    sock_accept: 3*i32 -> i32
    sock_recv: 6*i32 -> i32
    sock_send: 5*i32 -> i32
    sock_shutdown: 2*i32 -> i32
""")

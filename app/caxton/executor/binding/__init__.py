"""The layer over wasmtime's asynchronous C API: every pointer and every C struct is in here.

Owns the calls that are hot (cffi, preallocated buffers, 35 times cheaper than the public Python API) and
the callbacks by which a guest calls the host (raw ctypes: cffi's fail under W^X). Must never know what an
agent or a message is. A new wasmtime release is checked by reading `capi` and running `selfcheck`.

Rules that keep the process alive, each with a test in tests/executor/test_binding_rules.py:
1. a fiber's stack is the guest's stack plus 8 MiB (`caxton.executor.engine`);
2. no real work on a fiber: a deferred host function only records its call, the caller of `Instance.poll`
   does the work on the main stack and answers;
3. the continuation of a deferred call is libc's `strlen` over a 2-byte flag: no Python on resume;
4. no exception leaves a callback: ctypes would hand wasmtime an uninitialised trap pointer;
5. one live future per store; a future is forgotten before it is deleted and deleted before its store;
6. an instance that trapped, was cancelled or exited is never called again.
"""

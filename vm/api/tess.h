/* The C interface of Tessera: load a program, give it tensors, run it.
 *
 *   tess_engine* engine;  tess_module* module;  tess_kernel* kernel;  tess_run* run;
 *   tess_error* error = tess_engine_create(NULL, &engine);
 *   if (!error) error = tess_module_load_file(engine, "saxpy.vmasm", NULL, 0, &module);
 *   if (!error) error = tess_module_kernel(module, "saxpy", &kernel);
 *   if (!error) error = tess_run_create(kernel, NULL, &run);
 *   if (!error) error = tess_run_set_int(run, "n", 1000);
 *   if (!error) error = tess_run_set_float(run, "a", 2.0);
 *   if (!error) error = tess_run_set_tensor(run, "x", x);
 *   if (!error) error = tess_run_set_tensor(run, "y", y);
 *   if (!error) error = tess_run_start(run);
 *   if (!error) error = tess_run_wait(run);
 *
 * Errors     Every call that can fail returns a tess_error*, NULL for success. The caller owns it and
 *            destroys it. On failure output arguments are set to NULL.
 * Ownership  The creator of an object destroys it; destroying NULL does nothing. Objects keep what they
 *            need alive: a kernel its module, a run its kernel and tensors, everything its engine. So the
 *            order of destruction is free. Strings belong to the object they came from.
 * Threads    Engines, modules and kernels may be used from any number of threads at once; launches run
 *            concurrently. A tensor, a run and an error belong to one thread at a time, except that
 *            tess_run_interrupt and tess_run_poll may be called from any thread.
 * Structs    begin with `size_t size`, set by the caller to sizeof the struct, so that later versions can
 *            add fields. A NULL configuration means the defaults; so does 0 in a field.
 * Text       is UTF-8, ended by a zero.
 * The library writes nothing to standard output or error, reads no environment variable, installs no
 * signal handler and never ends the process.
 */
#ifndef TESS_H
#define TESS_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define TESS_EXPORT
#else
#define TESS_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Stays the same as long as programs compiled against an older header keep working. */
#define TESS_ABI_VERSION 1

typedef struct tess_engine tess_engine;
typedef struct tess_module tess_module;
typedef struct tess_kernel tess_kernel;
typedef struct tess_tensor tess_tensor;
typedef struct tess_run tess_run;
typedef struct tess_error tess_error;

/* "0.1.0", and the TESS_ABI_VERSION the library was built with. */
TESS_EXPORT const char* tess_version(void);
TESS_EXPORT uint32_t tess_abi_version(void);

/* --- errors ----------------------------------------------------------------------------------- */

typedef enum tess_error_kind {
  TESS_ERROR_INPUT = 1,       /* the program, a file or an argument has errors */
  TESS_ERROR_USAGE = 2,       /* the interface was called wrongly */
  TESS_ERROR_TRAP = 4,        /* the program trapped; see tess_error_trap */
  TESS_ERROR_LIMIT = 5,       /* a limit on steps, memory or time was reached */
  TESS_ERROR_ENVIRONMENT = 6, /* something is missing: a file, memory, an engine */
  TESS_ERROR_INTERNAL = 70,   /* a mistake in the library: please report it */
  TESS_ERROR_INTERRUPTED = 130
} tess_error_kind;

/* The first error's code ("E0303") and message; everything that was found as text with source lines
 * and carets, or as JSON, one object per line. */
TESS_EXPORT tess_error_kind tess_error_get_kind(const tess_error* error);
TESS_EXPORT const char* tess_error_code(const tess_error* error);
TESS_EXPORT const char* tess_error_message(const tess_error* error);
TESS_EXPORT const char* tess_error_text(const tess_error* error);
TESS_EXPORT const char* tess_error_text_color(const tess_error* error);
TESS_EXPORT const char* tess_error_json(const tess_error* error);

/* One of the diagnostics an error holds. `file` is "" and `line` 0 where there is no place; columns and
 * lengths count Unicode code points, lines and columns from 1. */
typedef struct tess_diagnostic {
  size_t size;
  const char* code;
  const char* severity; /* "error", "warning", "trap", "limit" */
  const char* message;
  const char* hint; /* may be "" */
  const char* file;
  uint32_t line, col, len;
} tess_diagnostic;
TESS_EXPORT size_t tess_error_count(const tess_error* error);
/* False if there is no diagnostic `index`. */
TESS_EXPORT int tess_error_diagnostic(const tess_error* error, size_t index, tess_diagnostic* out);

/* Where a program stopped (kinds TRAP, LIMIT and INTERRUPTED). */
typedef struct tess_trap {
  size_t size;
  const char* kernel;
  int64_t block[3];
  uint32_t strand;
  uint32_t instruction; /* index in the kernel's code */
  const char* file;
  uint32_t line, col;
} tess_trap;
/* False if the error is not from a running program. */
TESS_EXPORT int tess_error_trap(const tess_error* error, tess_trap* out);
TESS_EXPORT void tess_error_destroy(tess_error* error);

/* --- engine ----------------------------------------------------------------------------------- */

typedef struct tess_engine_config {
  size_t size;
  /* Folders searched by `use "..."`, after the folder of the file that says it. */
  const char* const* search_paths;
  size_t n_search_paths;
  uint32_t threads; /* of the interpreter, for each launch; 0: one per core */
} tess_engine_config;

TESS_EXPORT tess_error* tess_engine_create(const tess_engine_config* config, tess_engine** out);
TESS_EXPORT void tess_engine_destroy(tess_engine* engine);

/* Limits of every run that is created afterwards and does not set its own. 0: none. Returns the old
 * value; a negative `value` only reads. */
typedef enum tess_limit_kind {
  TESS_LIMIT_STEPS = 0,        /* instructions executed over all blocks */
  TESS_LIMIT_MEMORY_BYTES = 1, /* registers, shared memory and workspaces held at once */
  TESS_LIMIT_MILLISECONDS = 2  /* wall time */
} tess_limit_kind;
TESS_EXPORT int64_t tess_engine_limit(tess_engine* engine, tess_limit_kind limit, int64_t value);

/* --- modules and kernels ---------------------------------------------------------------------- */

/* A specialisation: what a `const` or `type` of the text stands for, as -D on the command line:
 * {"BM", "32"}, {"W", "u6"}. */
typedef struct tess_binding {
  const char* name;
  const char* value;
} tess_binding;

/* Text or bytecode, told apart by its first bytes; parsed and verified. `name` stands in diagnostics,
 * and `use` looks in its folder first. Bytecode that keeps no source cannot be specialised. */
TESS_EXPORT tess_error* tess_module_load(tess_engine* engine, const char* name, const void* bytes,
                                         size_t size, const tess_binding* bindings,
                                         size_t n_bindings, tess_module** out);
TESS_EXPORT tess_error* tess_module_load_file(tess_engine* engine, const char* path,
                                              const tess_binding* bindings, size_t n_bindings,
                                              tess_module** out);
TESS_EXPORT void tess_module_destroy(tess_module* module);
/* Warnings as an error object that the caller owns, or NULL if there are none. */
TESS_EXPORT tess_error* tess_module_warnings(const tess_module* module);
TESS_EXPORT size_t tess_module_kernel_count(const tess_module* module);
/* "matmul<BM=16, W=u4>"; NULL if there is no kernel `index`. */
TESS_EXPORT const char* tess_module_kernel_name(const tess_module* module, size_t index);

/* By name, or by name and specialisation. NULL: the only one. */
TESS_EXPORT tess_error* tess_module_kernel(tess_module* module, const char* name,
                                           tess_kernel** out);
TESS_EXPORT void tess_kernel_destroy(tess_kernel* kernel);
TESS_EXPORT const char* tess_kernel_name(const tess_kernel* kernel);

typedef enum tess_param_kind {
  TESS_PARAM_SCALAR = 0,
  TESS_PARAM_IN = 1,
  TESS_PARAM_OUT = 2,
  TESS_PARAM_INOUT = 3
} tess_param_kind;
typedef struct tess_param {
  size_t size;
  const char* name;
  tess_param_kind kind;
  const char* dtype;       /* "u4", "bf16", ... */
  uint32_t rank;           /* of a tensor */
  int is_list;             /* an array of tensors */
  const char* declaration; /* "x: in f32[n]" */
} tess_param;
/* The parameters a caller gives: scalars and tensors, no workspaces and lets. */
TESS_EXPORT size_t tess_kernel_param_count(const tess_kernel* kernel);
TESS_EXPORT int tess_kernel_param(const tess_kernel* kernel, size_t index, tess_param* out);

/* --- tensors ---------------------------------------------------------------------------------- */

/* Elements are a dense little-endian bit stream: element n of a w-bit type at bits [n*w, (n+1)*w).
 * `dtype` is a type name of the ISA. Shapes are outermost first, strides count elements. */

/* Row-major, all bits zero. */
TESS_EXPORT tess_error* tess_tensor_create(const char* dtype, uint32_t rank, const int64_t* shape,
                                           tess_tensor** out);
/* The caller's memory: used in place, never copied. `strides` NULL: row-major. `release`, if given, is
 * called once when the last object that uses the memory is gone, on any thread. */
TESS_EXPORT tess_error* tess_tensor_borrow(const char* dtype, uint32_t rank, const int64_t* shape,
                                           const int64_t* strides, void* data, size_t bytes,
                                           int writable, void (*release)(void* user), void* user,
                                           tess_tensor** out);
/* From `file.npy`, `file.npz#key`, `file.safetensors#name`, `file.gguf#name` or a generator (`zeros`,
 * `ones`, `iota`, `uniform(seed)`, `normal(seed)`, `const(v)`), as exactly this type and shape. Files
 * are memory-mapped, so the tensor may be read-only. */
TESS_EXPORT tess_error* tess_tensor_load(const char* source, const char* dtype, uint32_t rank,
                                         const int64_t* shape, uint64_t seed, tess_tensor** out);
/* With the type and shape that the file gives it. */
TESS_EXPORT tess_error* tess_tensor_open(const char* source, tess_tensor** out);
/* A writable row-major copy. */
TESS_EXPORT tess_error* tess_tensor_copy(const tess_tensor* tensor, tess_tensor** out);
/* To `file.npy` or `file.npz#key`; the file appears whole or not at all. */
TESS_EXPORT tess_error* tess_tensor_save(const tess_tensor* tensor, const char* dest);
TESS_EXPORT void tess_tensor_destroy(tess_tensor* tensor);

TESS_EXPORT const char* tess_tensor_dtype(const tess_tensor* tensor);
TESS_EXPORT uint32_t tess_tensor_rank(const tess_tensor* tensor);
TESS_EXPORT const int64_t* tess_tensor_shape(const tess_tensor* tensor);
TESS_EXPORT const int64_t* tess_tensor_strides(const tess_tensor* tensor);
TESS_EXPORT int64_t tess_tensor_elements(const tess_tensor* tensor);
TESS_EXPORT const void* tess_tensor_data(const tess_tensor* tensor);
TESS_EXPORT void* tess_tensor_mutable_data(tess_tensor* tensor); /* NULL if read-only */
TESS_EXPORT size_t tess_tensor_bytes(const tess_tensor* tensor);
/* Element `index`, counted row-major whatever the strides; 0 past the end. */
TESS_EXPORT double tess_tensor_value(const tess_tensor* tensor, int64_t index);
TESS_EXPORT uint64_t tess_tensor_code(const tess_tensor* tensor, int64_t index);
/* As NumPy prints it; long tensors show their edges. Valid until the next call or the destruction. */
TESS_EXPORT const char* tess_tensor_text(tess_tensor* tensor);

/* --- runs ------------------------------------------------------------------------------------- */

/* A value shown by `print`, or recorded by `trace` or tracing; valid during the call. */
typedef struct tess_shown {
  size_t size;
  const char* kernel;
  int64_t block[3];
  uint32_t strand;
  uint32_t instruction;
  const char* file;
  uint32_t line, col;
  const char* name;        /* "%acc" */
  const char* instruction_name; /* "mma" */
  const tess_tensor* value; /* rank 0 for a scalar */
} tess_shown;

typedef struct tess_run_config {
  size_t size;
  /* "interp" (default), "interp-naive": only the obviously right kernels; "sim": compiled kernels on
   * the PTX simulator; "cuda": compiled kernels on the first GPU. */
  const char* engine;
  uint64_t limit_steps, limit_memory_bytes, limit_milliseconds;
  uint64_t seed; /* of outputs' poison, generators without a seed, random completion, and the
                  * simulator's schedule */
  int report_out_of_bounds; /* out-of-bounds accesses trap */
  int trace_every_value;    /* on_trace for every result computed by `trace_block` */
  int64_t trace_block[3];
  int64_t device_sms; /* what device.sms is; 0: 132 */
  /* Called in block order, one at a time, on a thread of the run. They must not call into the run. */
  void (*on_print)(const tess_shown* shown, void* user);
  void (*on_trace)(const tess_shown* shown, void* user);
  void (*on_progress)(int64_t blocks_done, int64_t blocks, void* user);
  void* user;
  /* When asynchronous copies complete: "early" (default; at once), "late" (at the last legal moment) or
   * "random" (at moments, and with an order of strands, that `seed` gives). */
  const char* async;
  /* Of the engines that compile. What reports out-of-bounds accesses and traps there is `guard`. */
  const char* jit;    /* "nvrtc" or "nvptx"; NULL: nvrtc if it is there, else nvptx */
  const char* arch;   /* "sm_80", "sm_89", "sm_90a"; NULL: the GPU's, sm_90a on the simulator */
  uint32_t opt_level; /* of nvptx: 0, or 3 for everything LLVM has */
  int guard;          /* the kernel checks bounds and traps, and records the first fault */
  uint32_t sim_runs;  /* the simulator: several runs, which go through completion and schedules */
  int sim_no_checks;  /* the simulator: no search for races and uses of what was never written */
} tess_run_config;

/* One launch: arguments are set by parameter name, then it is started once. */
TESS_EXPORT tess_error* tess_run_create(tess_kernel* kernel, const tess_run_config* config,
                                        tess_run** out);
/* Waits for a launch that is under way, after interrupting it. */
TESS_EXPORT void tess_run_destroy(tess_run* run);

/* Scalars. Integers must fit the parameter's type, floats are rounded to it; text is a literal. */
TESS_EXPORT tess_error* tess_run_set_int(tess_run* run, const char* name, int64_t value);
TESS_EXPORT tess_error* tess_run_set_uint(tess_run* run, const char* name, uint64_t value);
TESS_EXPORT tess_error* tess_run_set_float(tess_run* run, const char* name, double value);
TESS_EXPORT tess_error* tess_run_set_text(tess_run* run, const char* name, const char* literal);
/* Replaces what was set; for a list parameter all tensors at once. */
TESS_EXPORT tess_error* tess_run_set_tensor(tess_run* run, const char* name, tess_tensor* tensor);
TESS_EXPORT tess_error* tess_run_set_list(tess_run* run, const char* name,
                                          tess_tensor* const* tensors, size_t count);
/* Integer scalars not set yet that follow from the shapes of tensors set: n from `x: in f32[n]`.
 * `shape` may stand for a tensor that is not set yet. */
TESS_EXPORT tess_error* tess_run_deduce(tess_run* run);
TESS_EXPORT tess_error* tess_run_deduce_from(tess_run* run, const char* name, uint32_t rank,
                                             const int64_t* shape);
/* The shape that a tensor parameter has with the scalars set; `shape` has room for 8. An error if a
 * scalar it depends on is missing. */
TESS_EXPORT tess_error* tess_run_shape(const tess_run* run, const char* name, uint32_t* rank,
                                       int64_t* shape);
/* How many tensors a list parameter takes with the scalars set. */
TESS_EXPORT tess_error* tess_run_list_length(const tess_run* run, const char* name, int64_t* count);

/* Checks every argument against the signature and starts the launch on a thread of its own. The
 * tensors must not be touched until it has ended. */
TESS_EXPORT tess_error* tess_run_start(tess_run* run);
/* Waits for the end. Call it once; the error says how the program failed. */
TESS_EXPORT tess_error* tess_run_wait(tess_run* run);
/* Of an ended launch that did not fail: elements of `out` tensors that it never wrote. An error object
 * that the caller owns, or NULL if there are none. */
TESS_EXPORT tess_error* tess_run_warnings(const tess_run* run);
/* 1 if ended (or never started), else 0. */
TESS_EXPORT int tess_run_poll(const tess_run* run);
/* Asks a launch to end soon; tess_run_wait then gives TESS_ERROR_INTERRUPTED. */
TESS_EXPORT void tess_run_interrupt(tess_run* run);

typedef struct tess_stats {
  size_t size;
  uint64_t steps; /* instructions executed; on the simulator those of warps, on a GPU 0 */
  int64_t blocks;
  double seconds;
  double compile_seconds; /* of the engines that compile: to find the kernel or make it */
  int compiled;           /* 1 if it was made for this launch, 0 if it was there */
} tess_stats;
/* Of an ended launch. */
TESS_EXPORT int tess_run_stats(const tess_run* run, tess_stats* out);

#ifdef __cplusplus
}
#endif
#endif

/* C++ operator new and delete, defined from C by their mangled names (Itanium C++ ABI 5.1), so that the
 * library needs no C++ runtime. It is built with unwind tables, for std::bad_alloc passes through these frames.
 *
 * In the archive they are an object of their own (MESH_CXX_APART), which only programs take that have C++, and so what it
 * refers to: weak references would find of a static runtime only what the program happens to use.
 *
 * A program may replace any form. Those that the standard defines by another ([new.delete]) call that one then:
 * the array forms the plain ones, the sized and nothrow forms those without. All are weak, so that a program
 * linked with the static library can replace them too. */
#include <dlfcn.h>
#include <errno.h>

#include "bits.h"
#if MESH_CXX_APART
#include <stdlib.h>
#else
#include "heap_api.h"
#endif

#define OPERATOR __attribute__((visibility("default"), weak))
/* The definition here of what may be replaced. */
#define OURS(name) extern __typeof__(name) name##_ours __attribute__((alias(#name), visibility("hidden")))
/* Not for the compiler to decide. */
#define IS_OURS(name) LIKELY(opaque((const void *)name) == (const void *)name##_ours)

static inline const void *opaque(const void *p) {
  __asm__("" : "+r"(p));
  return p;
}

typedef void (*NewHandler)(void);
#if MESH_CXX_APART
extern NewHandler _ZSt15get_new_handlerv(void); /* std::get_new_handler() */
extern const void *const _ZTVSt9bad_alloc[];    /* the table of std::bad_alloc's virtual functions, */
extern const char _ZTISt9bad_alloc[];           /* its type_info, */
extern void _ZNSt9bad_allocD1Ev(void *);        /* and its destructor */
extern void *__cxa_allocate_exception(size_t size);
extern _Noreturn void __cxa_throw(void *exception, const void *type, void (*destructor)(void *));

static NewHandler current_handler(void) { return _ZSt15get_new_handlerv(); }

static void throw_bad_alloc(void) {
  const void **exception = __cxa_allocate_exception(sizeof *exception);
  *exception = _ZTVSt9bad_alloc + 2; /* behind what is not a function */
  __cxa_throw(exception, _ZTISt9bad_alloc, _ZNSt9bad_allocD1Ev);
}

/* The names inside the other object are its own. */
static inline void *thread_heap_malloc(size_t size) { return malloc(size); }
static inline void thread_heap_free(void *p) { free(p); }
static inline void *mesh_malloc(size_t size) { return malloc(size); }
static inline void *mesh_memalign(size_t align, size_t size) { return aligned_alloc(align, size); }

#else
typedef NewHandler (*GetNewHandler)(void);
typedef void (*Thrower)(void);

/* libstdc++'s, if it was loaded with the program. Weak: a static program without C++ has neither. */
extern NewHandler _ZSt15get_new_handlerv(void) __attribute__((weak)); /* std::get_new_handler() */
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));     /* std::__throw_bad_alloc() */
#pragma weak dlsym

/* A function of the C++ runtime that came later, with a dlopen'ed library. dlopen itself is looked up too: a linker
 * warns of each static program that refers to it. */
static void *find_late(const char *name) {
  if (dlsym == NULL) return NULL;
  void *found = dlsym(RTLD_DEFAULT, name);
  __typeof__(&dlopen) open = (__typeof__(&dlopen))dlsym(RTLD_DEFAULT, "dlopen");
  if (found != NULL || open == NULL) return found;
  void *runtime = open("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD);
  return runtime != NULL ? dlsym(runtime, name) : NULL;
}

static NewHandler current_handler(void) {
  GetNewHandler get = _ZSt15get_new_handlerv;
  if (get == NULL) get = (GetNewHandler)find_late("_ZSt15get_new_handlerv");
  return get != NULL ? get() : NULL;
}

static void throw_bad_alloc(void) {
  Thrower thrower = _ZSt17__throw_bad_allocv;
  if (thrower == NULL) thrower = (Thrower)find_late("_ZSt17__throw_bad_allocv");
  if (thrower != NULL) thrower();
  mesh_fatal("out of memory in operator new, and no C++ runtime to throw std::bad_alloc", NULL);
}
#endif

/* `align` is 0 for the plain forms. The handler is called until memory is found or it gives up. */
static void *new_slow(size_t size, size_t align) {
  for (;;) {
    void *p = align == 0 ? mesh_malloc(size) : mesh_memalign(align, size);
    if (p != NULL) return p;
    NewHandler handler = current_handler();
    if (handler == NULL) throw_bad_alloc();
    handler();
  }
}

/* ------------------------------------------------------------------------------------------- new */

/* operator new(size_t) */
OPERATOR void *_Znwm(size_t size);
OPERATOR void *_Znwm(size_t size) {
  void *p = thread_heap_malloc(size);
  return LIKELY(p != NULL) ? p : new_slow(size, 0);
}
OURS(_Znwm);

/* operator new[](size_t) */
OPERATOR void *_Znam(size_t size);
OPERATOR void *_Znam(size_t size) { return IS_OURS(_Znwm) ? _Znwm_ours(size) : _Znwm(size); }
OURS(_Znam);

/* operator new(size_t, std::align_val_t). Of an alignment that is none, no handler can make one. */
OPERATOR void *_ZnwmSt11align_val_t(size_t size, size_t align);
OPERATOR void *_ZnwmSt11align_val_t(size_t size, size_t align) {
  if (!is_power_of_two(align)) throw_bad_alloc();
  return new_slow(size, align);
}
OURS(_ZnwmSt11align_val_t);

/* operator new[](size_t, std::align_val_t) */
OPERATOR void *_ZnamSt11align_val_t(size_t size, size_t align);
OPERATOR void *_ZnamSt11align_val_t(size_t size, size_t align) { return _ZnwmSt11align_val_t(size, align); }
OURS(_ZnamSt11align_val_t);

#if !MESH_CXX_APART /* elsewhere the runtime's are there */
/* Where that is not all there is to do: a handler, or a replaced form, may throw, and to catch it takes C++. The
 * runtime's own nothrow forms call the throwing ones, and those are ours or the program's. */
static void *next_nothrow(const char *name) { return dlsym != NULL ? dlsym(RTLD_NEXT, name) : NULL; }

typedef void *(*NothrowNew)(size_t, const void *);
typedef void *(*NothrowAlignedNew)(size_t, size_t, const void *);

/* operator new(size_t, const std::nothrow_t &) */
OPERATOR void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag);
OPERATOR void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag) {
  const bool ours = IS_OURS(_Znwm);
  void *p = ours ? mesh_malloc(size) : NULL;
  if (p != NULL || (ours && current_handler() == NULL)) return p;
  NothrowNew next = (NothrowNew)next_nothrow("_ZnwmRKSt9nothrow_t");
  if (next != NULL) return next(size, tag);
  return ours ? NULL : _Znwm(size);
}

/* operator new[](size_t, const std::nothrow_t &) */
OPERATOR void *_ZnamRKSt9nothrow_t(size_t size, const void *tag);
OPERATOR void *_ZnamRKSt9nothrow_t(size_t size, const void *tag) {
  const bool ours = IS_OURS(_Znam) && IS_OURS(_Znwm);
  void *p = ours ? mesh_malloc(size) : NULL;
  if (p != NULL || (ours && current_handler() == NULL)) return p;
  NothrowNew next = (NothrowNew)next_nothrow("_ZnamRKSt9nothrow_t");
  if (next != NULL) return next(size, tag);
  return ours ? NULL : _Znam(size);
}

/* operator new(size_t, std::align_val_t, const std::nothrow_t &) */
OPERATOR void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag);
OPERATOR void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag) {
  const bool ours = IS_OURS(_ZnwmSt11align_val_t);
  if (ours && !is_power_of_two(align)) return NULL;
  void *p = ours ? mesh_memalign(align, size) : NULL;
  if (p != NULL || (ours && current_handler() == NULL)) return p;
  NothrowAlignedNew next = (NothrowAlignedNew)next_nothrow("_ZnwmSt11align_val_tRKSt9nothrow_t");
  if (next != NULL) return next(size, align, tag);
  return ours ? NULL : _ZnwmSt11align_val_t(size, align);
}

/* operator new[](size_t, std::align_val_t, const std::nothrow_t &) */
OPERATOR void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag);
OPERATOR void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag) {
  const bool ours = IS_OURS(_ZnamSt11align_val_t) && IS_OURS(_ZnwmSt11align_val_t);
  if (ours && !is_power_of_two(align)) return NULL;
  void *p = ours ? mesh_memalign(align, size) : NULL;
  if (p != NULL || (ours && current_handler() == NULL)) return p;
  NothrowAlignedNew next = (NothrowAlignedNew)next_nothrow("_ZnamSt11align_val_tRKSt9nothrow_t");
  if (next != NULL) return next(size, align, tag);
  return ours ? NULL : _ZnamSt11align_val_t(size, align);
}

#endif

/* ---------------------------------------------------------------------------------------- delete */

/* operator delete(void *) */
OPERATOR void _ZdlPv(void *p);
OPERATOR void _ZdlPv(void *p) { thread_heap_free(p); }
OURS(_ZdlPv);

static inline void delete_plain(void *p) {
  if (IS_OURS(_ZdlPv))
    thread_heap_free(p);
  else
    _ZdlPv(p);
}

/* operator delete[](void *) */
OPERATOR void _ZdaPv(void *p);
OPERATOR void _ZdaPv(void *p) { delete_plain(p); }
OURS(_ZdaPv);

static inline void delete_array(void *p) {
  if (IS_OURS(_ZdaPv))
    delete_plain(p);
  else
    _ZdaPv(p);
}

/* operator delete(void *, std::align_val_t) */
OPERATOR void _ZdlPvSt11align_val_t(void *p, size_t align);
OPERATOR void _ZdlPvSt11align_val_t(void *p, size_t align) {
  (void)align;
  thread_heap_free(p);
}

/* operator delete[](void *, std::align_val_t) */
OPERATOR void _ZdaPvSt11align_val_t(void *p, size_t align);
OPERATOR void _ZdaPvSt11align_val_t(void *p, size_t align) { _ZdlPvSt11align_val_t(p, align); }

/* operator delete(void *, size_t) */
OPERATOR void _ZdlPvm(void *p, size_t size);
OPERATOR void _ZdlPvm(void *p, size_t size) {
  (void)size;
  delete_plain(p);
}

/* operator delete[](void *, size_t) */
OPERATOR void _ZdaPvm(void *p, size_t size);
OPERATOR void _ZdaPvm(void *p, size_t size) {
  (void)size;
  delete_array(p);
}

/* operator delete(void *, const std::nothrow_t &) */
OPERATOR void _ZdlPvRKSt9nothrow_t(void *p, const void *tag);
OPERATOR void _ZdlPvRKSt9nothrow_t(void *p, const void *tag) {
  (void)tag;
  delete_plain(p);
}

/* operator delete[](void *, const std::nothrow_t &) */
OPERATOR void _ZdaPvRKSt9nothrow_t(void *p, const void *tag);
OPERATOR void _ZdaPvRKSt9nothrow_t(void *p, const void *tag) {
  (void)tag;
  delete_array(p);
}

/* operator delete(void *, size_t, std::align_val_t) */
OPERATOR void _ZdlPvmSt11align_val_t(void *p, size_t size, size_t align);
OPERATOR void _ZdlPvmSt11align_val_t(void *p, size_t size, size_t align) {
  (void)size;
  _ZdlPvSt11align_val_t(p, align);
}

/* operator delete[](void *, size_t, std::align_val_t) */
OPERATOR void _ZdaPvmSt11align_val_t(void *p, size_t size, size_t align);
OPERATOR void _ZdaPvmSt11align_val_t(void *p, size_t size, size_t align) {
  (void)size;
  _ZdaPvSt11align_val_t(p, align);
}

/* operator delete(void *, std::align_val_t, const std::nothrow_t &) */
OPERATOR void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag);
OPERATOR void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag) {
  (void)tag;
  _ZdlPvSt11align_val_t(p, align);
}

/* operator delete[](void *, std::align_val_t, const std::nothrow_t &) */
OPERATOR void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag);
OPERATOR void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag) {
  (void)tag;
  _ZdaPvSt11align_val_t(p, align);
}

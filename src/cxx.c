/* C++ operator new and delete, defined from C by their mangled names (Itanium C++ ABI 5.1), so that the
 * library needs no C++ runtime. All forms of one operator do the same; what differs is whether failure
 * throws. The library is built with unwind tables, for the exception passes through these frames. */
#include <dlfcn.h>
#include <errno.h>

#include "check.h"
#include "heap_api.h"

#define EXPORT __attribute__((visibility("default")))

typedef void (*NewHandler)(void);
typedef NewHandler (*GetNewHandler)(void);
typedef void (*Thrower)(void);

/* libstdc++'s, if it was loaded with the program. Weak: a static program without C++ has neither. */
extern NewHandler _ZSt15get_new_handlerv(void) __attribute__((weak)); /* std::get_new_handler() */
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));     /* std::__throw_bad_alloc() */
#pragma weak dlsym
#pragma weak dlopen

/* A function of the C++ runtime that came later, with a dlopen'ed library. */
static void *find_late(const char *name) {
  if (dlsym == NULL) return NULL;
  void *found = dlsym(RTLD_DEFAULT, name);
  if (found != NULL || dlopen == NULL) return found;
  void *runtime = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD);
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

/* `align` is 0 for the plain forms. The handler is called until memory is found or it gives up; in the
 * nothrow forms its exception, if it throws, must not escape: they do not call it. */
static void *new_slow(size_t size, size_t align, bool nothrow) {
  for (;;) {
    void *p = align == 0 ? mesh_malloc(size) : mesh_memalign(align, size);
    if (p != NULL || nothrow) return p;
    NewHandler handler = current_handler();
    if (handler == NULL) throw_bad_alloc();
    handler();
  }
}

static inline void *new_plain(size_t size) {
  void *p = thread_heap_malloc(size);
  return LIKELY(p != NULL) ? p : new_slow(size, 0, false);
}

/* ------------------------------------------------------------------------------------------- new */

/* operator new(size_t) */
EXPORT void *_Znwm(size_t size);
EXPORT void *_Znwm(size_t size) { return new_plain(size); }

/* operator new[](size_t) */
EXPORT void *_Znam(size_t size);
EXPORT void *_Znam(size_t size) { return new_plain(size); }

/* operator new(size_t, const std::nothrow_t &) */
EXPORT void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag);
EXPORT void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag) {
  (void)tag;
  return new_slow(size, 0, true);
}

/* operator new[](size_t, const std::nothrow_t &) */
EXPORT void *_ZnamRKSt9nothrow_t(size_t size, const void *tag);
EXPORT void *_ZnamRKSt9nothrow_t(size_t size, const void *tag) {
  (void)tag;
  return new_slow(size, 0, true);
}

/* operator new(size_t, std::align_val_t) */
EXPORT void *_ZnwmSt11align_val_t(size_t size, size_t align);
EXPORT void *_ZnwmSt11align_val_t(size_t size, size_t align) { return new_slow(size, align, false); }

/* operator new[](size_t, std::align_val_t) */
EXPORT void *_ZnamSt11align_val_t(size_t size, size_t align);
EXPORT void *_ZnamSt11align_val_t(size_t size, size_t align) { return new_slow(size, align, false); }

/* operator new(size_t, std::align_val_t, const std::nothrow_t &) */
EXPORT void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag);
EXPORT void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag) {
  (void)tag;
  return new_slow(size, align, true);
}

/* operator new[](size_t, std::align_val_t, const std::nothrow_t &) */
EXPORT void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag);
EXPORT void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag) {
  (void)tag;
  return new_slow(size, align, true);
}

/* ---------------------------------------------------------------------------------------- delete */

/* operator delete(void *) */
EXPORT void _ZdlPv(void *p);
EXPORT void _ZdlPv(void *p) { thread_heap_free(p); }

/* operator delete(void *, size_t) */
EXPORT void _ZdlPvm(void *p, size_t size);
EXPORT void _ZdlPvm(void *p, size_t size) {
  (void)size;
  thread_heap_free(p);
}

/* operator delete(void *, const std::nothrow_t &) */
EXPORT void _ZdlPvRKSt9nothrow_t(void *p, const void *tag);
EXPORT void _ZdlPvRKSt9nothrow_t(void *p, const void *tag) {
  (void)tag;
  thread_heap_free(p);
}

/* operator delete(void *, std::align_val_t) */
EXPORT void _ZdlPvSt11align_val_t(void *p, size_t align);
EXPORT void _ZdlPvSt11align_val_t(void *p, size_t align) {
  (void)align;
  thread_heap_free(p);
}

/* operator delete(void *, size_t, std::align_val_t) */
EXPORT void _ZdlPvmSt11align_val_t(void *p, size_t size, size_t align);
EXPORT void _ZdlPvmSt11align_val_t(void *p, size_t size, size_t align) {
  (void)size;
  (void)align;
  thread_heap_free(p);
}

/* operator delete(void *, std::align_val_t, const std::nothrow_t &) */
EXPORT void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag);
EXPORT void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag) {
  (void)align;
  (void)tag;
  thread_heap_free(p);
}

/* operator delete[](void *) */
EXPORT void _ZdaPv(void *p);
EXPORT void _ZdaPv(void *p) { thread_heap_free(p); }

/* operator delete[](void *, size_t) */
EXPORT void _ZdaPvm(void *p, size_t size);
EXPORT void _ZdaPvm(void *p, size_t size) {
  (void)size;
  thread_heap_free(p);
}

/* operator delete[](void *, const std::nothrow_t &) */
EXPORT void _ZdaPvRKSt9nothrow_t(void *p, const void *tag);
EXPORT void _ZdaPvRKSt9nothrow_t(void *p, const void *tag) {
  (void)tag;
  thread_heap_free(p);
}

/* operator delete[](void *, std::align_val_t) */
EXPORT void _ZdaPvSt11align_val_t(void *p, size_t align);
EXPORT void _ZdaPvSt11align_val_t(void *p, size_t align) {
  (void)align;
  thread_heap_free(p);
}

/* operator delete[](void *, size_t, std::align_val_t) */
EXPORT void _ZdaPvmSt11align_val_t(void *p, size_t size, size_t align);
EXPORT void _ZdaPvmSt11align_val_t(void *p, size_t size, size_t align) {
  (void)size;
  (void)align;
  thread_heap_free(p);
}

/* operator delete[](void *, std::align_val_t, const std::nothrow_t &) */
EXPORT void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag);
EXPORT void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag) {
  (void)align;
  (void)tag;
  thread_heap_free(p);
}

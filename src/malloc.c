/* The exported malloc family: argument rules and calls down. Semantics follow glibc's manual. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "heap_api.h"
#include "os.h"
#include "stats.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT void *malloc(size_t size) { return thread_heap_malloc(size); }

EXPORT void free(void *p) { thread_heap_free(p); }

EXPORT void *calloc(size_t count, size_t size) { return mesh_calloc(count, size); }

EXPORT void *realloc(void *p, size_t size) { return mesh_realloc(p, size); }

EXPORT void *reallocarray(void *p, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    errno = ENOMEM;
    return NULL;
  }
  return mesh_realloc(p, bytes);
}

/* Older than C89 and gone from glibc since 2.26, but still called by old programs. */
EXPORT void cfree(void *p);
EXPORT void cfree(void *p) { thread_heap_free(p); }

/* C23. The size is the caller's promise; the class map knows it anyway. */
EXPORT void free_sized(void *p, size_t size);
EXPORT void free_sized(void *p, size_t size) {
  (void)size;
  thread_heap_free(p);
}
EXPORT void free_aligned_sized(void *p, size_t align, size_t size);
EXPORT void free_aligned_sized(void *p, size_t align, size_t size) {
  (void)align;
  (void)size;
  thread_heap_free(p);
}

EXPORT size_t malloc_usable_size(void *p) { return mesh_usable_size(p); }

EXPORT int posix_memalign(void **out, size_t align, size_t size) {
  if (!is_power_of_two(align) || align % sizeof(void *) != 0) return EINVAL;
  int saved = errno;
  void *p = mesh_memalign(align, size);
  errno = saved;
  if (p == NULL) return ENOMEM;
  *out = p;
  return 0;
}

static void *aligned_or_einval(size_t align, size_t size) {
  if (is_power_of_two(align)) return mesh_memalign(align, size);
  errno = EINVAL;
  return NULL;
}

EXPORT void *aligned_alloc(size_t align, size_t size) { return aligned_or_einval(align, size); }

/* glibc rounds an odd alignment up to a power of two here, and only here. */
EXPORT void *memalign(size_t align, size_t size) {
  if (align > SIZE_MAX / 2 + 1) return aligned_or_einval(0, size);
  return mesh_memalign((size_t)1 << log2_ceil(align), size);
}

EXPORT void *valloc(size_t size) { return mesh_memalign(os_page_size(), size); }

EXPORT void *pvalloc(size_t size) {
  const size_t page = os_page_size();
  if (size > PTRDIFF_MAX) {
    errno = ENOMEM;
    return NULL;
  }
  return mesh_memalign(page, max_size(page, round_up(size, page)));
}

EXPORT int malloc_trim(size_t pad) {
  (void)pad;
  return mesh_trim();
}

/* No parameter of glibc's has a counterpart here: accepted, without effect, as callers expect. */
EXPORT int mallopt(int parameter, int value) {
  (void)parameter;
  (void)value;
  return 1;
}

EXPORT struct mallinfo2 mallinfo2(void) {
  HeapStats s;
  stats_read(&s);
  size_t free_bytes = s.cached_bytes + s.free_bytes + s.waste_bytes + s.dirty_bytes;
  return (struct mallinfo2){
      .arena = s.active_bytes - s.large_bytes + s.dirty_bytes,
      .ordblks = s.spans,
      .hblks = s.large_count,
      .hblkhd = s.large_bytes,
      .uordblks = s.live_bytes - s.large_bytes,
      .fordblks = free_bytes,
      .keepcost = s.dirty_bytes,
  };
}

static int clamp(size_t x) { return x > INT_MAX ? INT_MAX : (int)x; }

/* The old interface has no room above 2 GiB: it saturates. */
EXPORT struct mallinfo mallinfo(void) {
  struct mallinfo2 m = mallinfo2();
  return (struct mallinfo){
      .arena = clamp(m.arena),
      .ordblks = clamp(m.ordblks),
      .hblks = clamp(m.hblks),
      .hblkhd = clamp(m.hblkhd),
      .uordblks = clamp(m.uordblks),
      .fordblks = clamp(m.fordblks),
      .keepcost = clamp(m.keepcost),
  };
}

EXPORT void malloc_stats(void) {
  HeapStats s;
  stats_read(&s);
  fprintf(stderr,
          "libmesh: live %zu, cached %zu, free in spans %zu, free dirty pages %zu, active %zu, metadata %zu "
          "bytes\n",
          s.live_bytes, s.cached_bytes, s.free_bytes + s.waste_bytes, s.dirty_bytes, s.active_bytes,
          s.metadata_bytes);
}

EXPORT int malloc_info(int options_, FILE *out) {
  if (options_ != 0) return EINVAL;
  HeapStats s;
  stats_read(&s);
  fprintf(out,
          "<malloc version=\"libmesh-1\">\n"
          "<heap nr=\"0\">\n"
          "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
          "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n"
          "<system type=\"current\" size=\"%zu\"/>\n"
          "<live size=\"%zu\"/>\n"
          "<cached size=\"%zu\"/>\n"
          "<dirty size=\"%zu\"/>\n"
          "<metadata size=\"%zu\"/>\n"
          "</heap>\n"
          "</malloc>\n",
          s.spans, s.free_bytes, s.large_count, s.large_bytes, s.mapped_bytes, s.live_bytes, s.cached_bytes,
          s.dirty_bytes, s.metadata_bytes);
  return 0;
}

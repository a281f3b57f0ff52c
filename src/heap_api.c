#include "heap_api.h"

#include <errno.h>
#include <string.h>

#include "global_heap.h"
#include "init.h"
#include "large.h"
#include "meta.h"
#include "os.h"

void *mesh_malloc(size_t size) { return thread_heap_malloc(size); }

void mesh_free(void *p) { thread_heap_free(p); }

void *mesh_calloc(size_t count, size_t size) {
  size_t bytes;
  if (UNLIKELY(__builtin_mul_overflow(count, size, &bytes))) {
    errno = ENOMEM;
    return NULL;
  }
  if (LIKELY(bytes <= SMALL_MAX)) {
    void *p = thread_heap_malloc(bytes);
    if (LIKELY(p != NULL)) memset(p, 0, bytes);
    return p;
  }
  bool zeroed = false;
  void *p = init_once() ? thread_heap_malloc_large(bytes, 1, &zeroed) : NULL;
  if (p == NULL)
    errno = ENOMEM;
  else if (!zeroed)
    memset(p, 0, bytes);
  return p;
}

size_t mesh_usable_size(const void *p) {
  if (p == NULL) return 0;
  unsigned c = arena_contains(p) ? class_at(p) : CLASS_NONE;
  return c >= CLASS_FIRST && c < CLASS_END ? size_classes[c].size : large_usable_size(p);
}

/* Where there is no memory for a smaller block, the old one serves. */
static void *realloc_by_copy(void *p, size_t old_size, size_t size) {
  int saved = errno;
  void *q = thread_heap_malloc(size);
  if (q == NULL) {
    if (size > old_size) return NULL;
    errno = saved;
    return p;
  }
  memcpy(q, p, min_size(old_size, size));
  thread_heap_free(p);
  return q;
}

/* What was freed shows when the old slot is drained; what never was a slot's start shows here. */
static void check_realloc(const void *p, unsigned c) {
  uint32_t head = span_head(p);
  size_t offset = (size_t)((const char *)p - page_address(head));
  uint32_t i = slot_index(&size_classes[c], offset);
  if (UNLIKELY(i * (size_t)size_classes[c].size != offset || i >= size_classes[c].slots))
    mesh_fatal("invalid realloc of", p);
}

static void *realloc_block(void *p, size_t size) {
  unsigned c = arena_contains(p) ? class_at(p) : CLASS_NONE;
  if (LIKELY(c >= CLASS_FIRST && c < CLASS_END)) {
    size_t old_size = size_classes[c].size;
    if (size <= old_size && size >= old_size / 2) return p;
    check_realloc(p, c);
    return realloc_by_copy(p, old_size, size);
  }
  if (c != CLASS_LARGE || p != page_address(page_of(p))) mesh_fatal("invalid realloc of", p);
  size_t old_size = large_usable_size(p);
  if (size <= SMALL_MAX && bytes_to_pages(size) != bytes_to_pages(old_size))
    return realloc_by_copy(p, old_size, size);
  return thread_heap_realloc_large(p, size);
}

void *mesh_realloc(void *p, size_t size) {
  if (p == NULL) return thread_heap_malloc(size);
  if (size == 0) { /* as glibc has it */
    thread_heap_free(p);
    return NULL;
  }
  return realloc_block(p, size);
}

void *mesh_memalign(size_t align, size_t size) {
  if (!init_once()) {
    errno = ENOMEM;
    return NULL;
  }
  if (align <= MIN_ALIGN) return thread_heap_malloc(size);
  unsigned c = size_class_aligned(align, size);
  if (c == CLASS_NONE) return thread_heap_malloc_large(max_size(size, 1), align, NULL);
  return thread_heap_malloc_class(c);
}

bool mesh_trim(void) {
  if (!init_once()) return false;
  thread_heap_flush();
  depot_drain_all();
  meta_purge_all();
  global_heap_free_fresh();
  global_heap_release_all();
  return arena_purge((uint32_t)os_now_ms(), 0, 0) > 0;
}

#include "size_class.h"

#include <string.h>

#include "magazine.h"

SizeClass size_classes[CLASS_END];
uint8_t size_class_table[SMALL_MAX / MIN_ALIGN + 1];

/* The class after that of `size` bytes: 16, 32, ..., 128, 160, 192, 224, 256, 320, ..., 1024, 1152, 1280, 1536, ... */
static uint32_t next_size(uint32_t size) {
  if (size < 8 * MIN_ALIGN) return size + MIN_ALIGN;
  const uint32_t power = (uint32_t)1 << log2_floor(size), with_header = power / 8 * 9;
  const bool extra = power >= HEADER_CLASS_MIN && power <= HEADER_CLASS_MAX;
  if (extra && size == power) return with_header;
  return (extra && size == with_header ? power : size) + power / 4;
}

/* Fewest pages in which slots of this size waste at most 1/16. */
static uint32_t shortest_span(uint32_t size, size_t page_size) {
  for (uint32_t pages = 1;; pages++) {
    size_t bytes = pages * page_size;
    if (bytes >= size && bytes % size <= bytes / 16) return pages;
  }
}

static uint32_t magazine_capacity(uint32_t size) {
  size_t want = MAGAZINE_BYTES / size;
  size_t capacity = MAGAZINE_MIN;
  while (capacity < want && capacity < MAGAZINE_MAX) capacity = magazine_next_capacity(capacity);
  return (uint32_t)(want < MAGAZINE_MIN ? max_size(want, 2) : capacity);
}

static void init_class(unsigned c, uint32_t size, size_t page_size) {
  SizeClass *sc = &size_classes[c];
  sc->size = size;
  sc->reciprocal = (((uint64_t)1 << 40) + size - 1) / size;
  sc->span_pages = shortest_span(size, page_size);
  sc->slots = (uint32_t)(sc->span_pages * page_size / size);
  sc->capacity = magazine_capacity(size);
  sc->bin_factor = (OCCUPANCY_BINS << BIN_SHIFT) / sc->slots;
}

void size_classes_init(size_t page_size) {
  uint32_t size = 0;
  for (unsigned i = 0; i < CLASS_REGULAR_COUNT; i++)
    init_class(CLASS_FIRST + i, size = next_size(size), page_size);
  for (unsigned i = 0; i < CLASS_PINNED_COUNT; i++)
    init_class(CLASS_PINNED_FIRST + i, (uint32_t)PINNED_ALIGN << i, page_size);
  size_t done = 0;
  for (unsigned c = CLASS_FIRST; c < CLASS_PINNED_FIRST; c++) {
    size_t end = size_classes[c].size / MIN_ALIGN + 1;
    memset(size_class_table + done, (int)c, end - done);
    done = end;
  }
}

unsigned size_class_aligned(size_t align, size_t size) {
  if (size > SMALL_MAX || align > SMALL_MAX) return CLASS_NONE;
  if (align >= PINNED_ALIGN)
    return CLASS_PINNED_FIRST + log2_ceil(max_size(align, size)) - PINNED_ALIGN_SHIFT;
  unsigned c = size_class_of(max_size(size, 1));
  while (size_classes[c].size % align != 0) c++;
  return c;
}

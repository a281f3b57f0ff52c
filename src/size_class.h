/* Size classes: sixteen bytes apart up to 128, then four to a doubling up to SMALL_MAX, so that at most
 * a fifth of a slot is lost to rounding. From 1 KiB to 8 KiB there is one more, an eighth above each power of two,
 * for blocks of a power of two with a header. After them come the pinned classes, powers of two whose spans never
 * mesh, for objects asked for with an alignment of PINNED_ALIGN or more.
 *
 * Class numbers are also the values of the class map, one byte for each 4 KiB of the arena. */
#ifndef MESH_SIZE_CLASS_H
#define MESH_SIZE_CLASS_H

#include "bits.h"

enum {
  CLASS_NONE = 0, /* pages that are free or were never used */
  CLASS_FIRST = 1,
  HEADER_CLASS_MIN = 1024, /* smallest and largest power of two with a class for one with a header */
  HEADER_CLASS_MAX = 8192,
  CLASS_REGULAR_COUNT = 8 + 4 * 8 + 4,
  CLASS_PINNED_FIRST = CLASS_FIRST + CLASS_REGULAR_COUNT,
  CLASS_PINNED_COUNT = 7, /* 512 to 32768 */
  CLASS_END = CLASS_PINNED_FIRST + CLASS_PINNED_COUNT, /* one past the last small class */
  CLASS_LARGE = CLASS_END,                             /* first page of a large block */
  CLASS_LARGE_TAIL,                                    /* its other pages */
  CLASS_MAP_VALUES,
};

enum {
  /* Partial spans are kept by occupancy, in eighths, so that refill finds the fullest without a scan. */
  OCCUPANCY_BINS = 8,
  BIN_SHIFT = 16,
};
_Static_assert(PINNED_ALIGN << (CLASS_PINNED_COUNT - 1) == SMALL_MAX, "pinned classes end at SMALL_MAX");
_Static_assert(CLASS_MAP_VALUES <= 256, "a class fits a byte of the class map");

typedef struct SizeClass {
  uint64_t reciprocal; /* (C) ceil(2^40 / size), for slot_index */
  uint32_t size;       /* (C) bytes of a slot */
  uint32_t span_pages; /* (C) */
  uint32_t slots;      /* (C) slots of a span */
  uint32_t capacity;   /* (C) slots of a full-size magazine */
  uint32_t bin_factor; /* (C) floor(OCCUPANCY_BINS << BIN_SHIFT / slots), for miniheap_bin */
} SizeClass;

extern SizeClass size_classes[CLASS_END];
/* Class of each size up to SMALL_MAX, by 16 bytes, rounded up. All 0 before size_classes_init. */
extern uint8_t size_class_table[SMALL_MAX / MIN_ALIGN + 1];

/* Computes the geometry for this page size: spans as short as a waste of 1/16 allows. */
void size_classes_init(size_t page_size);

/* size <= SMALL_MAX. */
static inline unsigned size_class_of(size_t size) {
  return size_class_table[(size + MIN_ALIGN - 1) >> MIN_ALIGN_SHIFT];
}

/* The class whose slots are aligned to `align` (a power of two up to SMALL_MAX) and hold `size`, or
 * CLASS_NONE if that takes a large block. */
unsigned size_class_aligned(size_t align, size_t size);

static inline bool class_is_pinned(unsigned c) { return c >= CLASS_PINNED_FIRST; }

/* Slot that byte `offset` of a span lies in; exact for every offset within a span. */
static inline uint32_t slot_index(const SizeClass *sc, size_t offset) {
  return (uint32_t)(offset * sc->reciprocal >> 40);
}

#endif

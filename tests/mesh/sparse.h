/* Small objects that lie sparse: most of what was allocated beside them is free again, so that they are meshed. */
#ifndef TESTS_MESH_SPARSE_H
#define TESTS_MESH_SPARSE_H

#include <stdlib.h>

#include "../dice.h"

/* Few sizes, so that each class has enough of them to be worth a pass. */
static const size_t sparse_sizes[] = {16, 32, 48, 64, 128, 256, 512, 1024, 2048};
enum { SPARSE_SIZES = sizeof sparse_sizes / sizeof *sparse_sizes };

/* One of the sizes of at least `least` bytes. */
static inline size_t sparse_size(struct dice *dice, size_t least) {
  size_t first = 0;
  while (first < SPARSE_SIZES - 1 && sparse_sizes[first] < least) first++;
  return sparse_sizes[first + dice_below(dice, SPARSE_SIZES - first)];
}

struct sparse {
  void **object;
  size_t count;
};

/* Less than this of a class, in bytes, may not be worth a pass. */
enum { SPARSE_BYTES = 640 << 10 };

/* Objects of one size: at least 8 times as many for a moment. */
static inline struct sparse sparse_new(size_t count, size_t size, struct dice *dice) {
  const size_t share = count * size * 8 > SPARSE_BYTES ? 8 : SPARSE_BYTES / (count * size);
  struct sparse s = {calloc(count * share, sizeof(void *)), count};
  for (size_t i = 0; i < count * share; i++) s.object[i] = malloc(size);
  for (size_t i = 0; i < count; i++) {
    size_t j = i + dice_below(dice, count * share - i);
    void *object = s.object[i];
    s.object[i] = s.object[j];
    s.object[j] = object;
  }
  for (size_t i = count; i < count * share; i++) free(s.object[i]);
  return s;
}

static inline void sparse_free(struct sparse *s) {
  for (size_t i = 0; i < s->count; i++) free(s->object[i]);
  free(s->object);
}

#endif

/* An allocated object that knows which bytes it must hold. */
#ifndef TESTS_STRESS_OBJECT_H
#define TESTS_STRESS_OBJECT_H

#include <stdbool.h>
#include <stdio.h>

#include "../dice.h"
#include "../pattern.h"
#include "heap.h"

struct object {
  unsigned char *bytes; /* NULL: there is none */
  size_t size;
  uint64_t key;
};

/* Everything the stress programs find wrong ends here, with what is needed to look at it. */
static inline void stress_fail(const char *what, const struct object *object, size_t offset) {
  fprintf(stderr, "stress: %s: object %p of %zu bytes, key %#llx, at byte %zu\n", what, (void *)object->bytes,
          object->size, (unsigned long long)object->key, offset);
  abort();
}

static inline void object_verify(const struct object *object) {
  size_t offset = pattern_mismatch(object->bytes, object->size, object->key);
  if (offset != object->size) stress_fail("wrong byte", object, offset);
}

static inline void object_fill(struct object *object, struct dice *dice) {
  object->key = dice_next(dice);
  pattern_fill(object->bytes, object->size, object->key);
}

static inline void object_free(struct object *object) {
  if (object->bytes) object_verify(object);
  free(object->bytes);
  *object = (struct object){0};
}

/* Out of memory is no failure: the object stays empty. */
static inline bool object_allocate(struct object *object, size_t size, struct dice *dice) {
  size_t alignment = size >= 16 ? 16 : size >= 8 ? 8 : 1;
  bool cleared = false;
  switch (dice_below(dice, 8)) {
    case 0:
      object->bytes = calloc(1, size);
      cleared = true;
      break;
    case 1:
      alignment = (size_t)16 << dice_below(dice, dice_below(dice, 8) ? 4 : 12);
      object->bytes = memalign(alignment, size);
      break;
    default:
      object->bytes = malloc(size);
  }
  object->size = object->bytes ? size : 0;
  if ((uintptr_t)object->bytes % alignment != 0) stress_fail("bad alignment", object, alignment);
  for (size_t i = 0; cleared && i < object->size; i++)
    if (object->bytes[i] != 0) stress_fail("calloc gives dirty memory", object, i);
  if (object->bytes) object_fill(object, dice);
  return object->bytes != NULL;
}

static inline void object_reallocate(struct object *object, size_t size, struct dice *dice) {
  object_verify(object);
  unsigned char *bytes = realloc(object->bytes, size);
  if (bytes == NULL) return;
  object->bytes = bytes;
  object->size = object->size < size ? object->size : size;
  object_verify(object);
  object->size = size;
  object_fill(object, dice);
}

#endif

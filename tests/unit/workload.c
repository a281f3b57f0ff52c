#include "workload.h"

#include <errno.h>
#include <string.h>

#include "child.h"
#include "content.h"
#include "heap_api.h"
#include "unit.h"

enum { OBJECTS = 300 };

static struct Object {
  char *address; /* NULL if there is none */
  size_t size;   /* bytes */
} objects[OBJECTS];

/* The number of an object is its key. */
static void fill(size_t i) { content_fill(objects[i].address, objects[i].size, i); }

static void check(size_t i) { expect(content_holds(objects[i].address, objects[i].size, i)); }

/* Small ones, some that fill a span alone, and large ones on both sides of MOVE_PAGES_MIN. */
static size_t random_size(Rng *rng) {
  uint32_t dice = rng_below(rng, 100);
  if (dice < 60) return rng_below(rng, 2000);
  if (dice < 90) return rng_below(rng, SMALL_MAX);
  return rng_below(rng, dice < 98 ? 4 * SMALL_MAX : 3 * MOVE_PAGES_MIN);
}

static void allocate(size_t i, Rng *rng) {
  struct Object *o = &objects[i];
  size_t align = MIN_ALIGN;
  o->size = random_size(rng);
  switch (rng_below(rng, 4)) {
    case 0:
      o->address = mesh_calloc(1, o->size);
      for (size_t b = 0; o->address != NULL && b < o->size; b++) expect(o->address[b] == 0);
      break;
    case 1:
      align = (size_t)1 << rng_below(rng, 17);
      o->address = mesh_memalign(align, o->size);
      break;
    default:
      o->address = mesh_malloc(o->size);
  }
  if (o->address == NULL) return;
  expect((uintptr_t)o->address % align == 0);
  expect(mesh_usable_size(o->address) >= o->size);
  fill(i);
}

static bool resize(size_t i, size_t size) {
  struct Object *o = &objects[i];
  char *p = mesh_realloc(o->address, size);
  if (p == NULL) {
    check(i);
    return false;
  }
  o->address = p;
  if (size < o->size) o->size = size;
  check(i);
  o->size = size;
  fill(i);
  return true;
}

static void release(size_t i) {
  check(i);
  mesh_free(objects[i].address);
  objects[i].address = NULL;
}

void workload_run(uint64_t seed, int calls, bool may_fail) {
  Rng rng;
  rng_seed(&rng, seed);
  for (; calls > 0; calls--) {
    size_t i = rng_below(&rng, OBJECTS);
    bool ok = true;
    errno = 0;
    if (objects[i].address == NULL) {
      allocate(i, &rng);
      ok = objects[i].address != NULL;
    } else if (rng_below(&rng, 2) == 0) {
      check(i);
      ok = resize(i, 1 + (rng_below(&rng, 2) ? random_size(&rng) : objects[i].size * 2));
    } else {
      release(i);
      expect(errno == 0);
    }
    expect(ok || (may_fail && errno == ENOMEM));
  }
}

/* malloc or realloc. */
static void set_size(size_t i, size_t size, bool may_fail) {
  errno = 0;
  if (objects[i].address != NULL) {
    expect(resize(i, size) || (may_fail && errno == ENOMEM));
    return;
  }
  objects[i].address = mesh_malloc(size);
  objects[i].size = size;
  expect(objects[i].address != NULL || (may_fail && errno == ENOMEM));
  if (objects[i].address != NULL) fill(i);
}

void workload_grow(bool may_fail) {
  size_t i = 0;
  for (size_t size = MOVE_PAGES_MIN; size <= 4 * MOVE_PAGES_MIN; size *= 2) {
    set_size(0, size, may_fail);
    set_size(++i, 2 * SMALL_MAX, may_fail);
  }
  set_size(0, MOVE_PAGES_MIN, may_fail);
  while (++i < OBJECTS) set_size(i, SMALL_MAX / 8, may_fail);
}

void workload_check(void) {
  for (size_t i = 0; i < OBJECTS; i++)
    if (objects[i].address != NULL) check(i);
}

void workload_free_all(void) {
  for (size_t i = 0; i < OBJECTS; i++)
    if (objects[i].address != NULL) release(i);
}

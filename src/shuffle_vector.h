/* ShuffleVector: a thread's free slots of one size class. Allocation pops, free pushes; refill puts the
 * slots of each span in at a random turn, which is what makes spans mesh. Two magazines stand behind it, the
 * loaded one and the previous, so that a run of pushes or pops goes to the depot only once in a magazine's
 * length.
 *
 * An unused vector has top == limit == base: every pop and every push takes the slow path. */
#ifndef MESH_SHUFFLE_VECTOR_H
#define MESH_SHUFFLE_VECTOR_H

#include "atomic.h"
#include "check.h"
#include "magazine.h"

typedef struct ShuffleVector {
  void **_Atomic top;  /* (T) one past the last slot; read by others for statistics */
  void **limit;        /* (T) end of the loaded magazine */
  void **_Atomic base; /* (T) its start; read by others for statistics */
  Magazine *previous;  /* (T) NULL, empty or not */
} ShuffleVector;
_Static_assert(sizeof(ShuffleVector) == 32, "two to a cache line");

/* NULL if empty. */
static inline void *shuffle_vector_pop(ShuffleVector *v) {
  void **top = load_relaxed(&v->top);
  if (UNLIKELY(top == load_relaxed(&v->base))) return NULL;
  store_relaxed(&v->top, top - 1);
  return top[-1];
}

/* False if full. */
static inline bool shuffle_vector_push(ShuffleVector *v, void *slot) {
  void **top = load_relaxed(&v->top);
  if (UNLIKELY(top == v->limit)) return false;
  *top = slot;
  store_relaxed(&v->top, top + 1);
  return true;
}

static inline size_t shuffle_vector_count(const ShuffleVector *v) {
  return (size_t)(load_relaxed(&v->top) - load_relaxed(&v->base));
}

static inline Magazine *shuffle_vector_magazine(const ShuffleVector *v) {
  void **base = load_relaxed(&v->base);
  return base == NULL ? NULL : (Magazine *)((char *)base - sizeof(Magazine));
}

/* Loads `m` with its `count` slots; the magazine loaded before is the caller's. */
static inline void shuffle_vector_load(ShuffleVector *v, Magazine *m) {
  store_relaxed(&v->base, m->slots);
  v->limit = m->slots + m->capacity;
  store_relaxed(&v->top, m->slots + m->count);
}

/* Takes the loaded magazine out, its count brought up to date; NULL if there is none. */
static inline Magazine *shuffle_vector_unload(ShuffleVector *v) {
  Magazine *m = shuffle_vector_magazine(v);
  if (m != NULL) m->count = (uint32_t)shuffle_vector_count(v);
  v->limit = NULL;
  store_relaxed(&v->base, NULL);
  store_relaxed(&v->top, NULL);
  return m;
}

#endif

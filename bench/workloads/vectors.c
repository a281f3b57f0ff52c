// Vectors that grow by realloc, by half of their size each time, and start again when they reach their limit.
// vectors THREADS VECTORS LIMIT PUSHES   (LIMIT: elements of 8 bytes; VECTORS and PUSHES for each thread)
#include "workload.h"

typedef struct {
  uint64_t *items;
  size_t used, capacity;
} Vector;

static size_t vectors, limit, pushes;

static void vector_push(Vector *vector, uint64_t item) {
  if (vector->used == vector->capacity) {
    vector->capacity = vector->capacity ? vector->capacity + vector->capacity / 2 : 4;
    vector->items = must(realloc(vector->items, vector->capacity * sizeof *vector->items));
  }
  vector->items[vector->used++] = item;
}

static uint64_t vector_empty(Vector *vector) {
  uint64_t sum = 0;
  for (size_t i = 0; i < vector->used; i++) sum += vector->items[i];
  free(vector->items);
  *vector = (Vector){0};
  return sum;
}

static uint64_t work(size_t index) {
  Rng rng = {index + 1};
  Vector *table = must(calloc(vectors, sizeof *table));
  uint64_t sum = 0;
  for (size_t done = 0; done < pushes;) {
    Vector *vector = &table[rng_below(&rng, vectors)];
    for (size_t burst = rng_range(&rng, 1, 16); burst-- > 0; done++) vector_push(vector, done);
    if (vector->used >= limit) sum += vector_empty(vector);
  }
  for (size_t i = 0; i < vectors; i++) sum += vector_empty(&table[i]);
  free(table);
  return sum;
}

int main(int argc, char **argv) {
  size_t threads = arg_number(argc, argv, 1, 1);
  vectors = arg_number(argc, argv, 2, 2000);
  limit = arg_number(argc, argv, 3, 2000);
  pushes = arg_number(argc, argv, 4, 40000000);
  if (vectors == 0 || limit == 0) die("bad arguments");
  return report(run_threads(threads, work));
}

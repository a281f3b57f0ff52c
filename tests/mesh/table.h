/* The objects of a writer thread, and what each of their words must be. */
#ifndef TESTS_MESH_TABLE_H
#define TESTS_MESH_TABLE_H

#include <pthread.h>

#include "stress.h"

enum { TABLE_SIZE = 6000 };

struct object {
  _Atomic uint64_t *_Atomic words; /* NULL: there is none */
  uint32_t count;                  /* of its words */
  uint32_t key;                    /* in each of them, above the sequence number */
  uint32_t sequence;               /* of the last store into each */
  bool cold;                       /* stored into once only */
};

struct table {
  pthread_mutex_t lock; /* the set of objects; words change without it */
  struct object object[TABLE_SIZE];
};

/* One for each writer, not in the heap. */
extern struct table *tables;

void object_new(struct object *o, size_t size, struct dice *dice);
/* A cold object must be as it was made; another's words may be the store of `object_store` under way. */
void object_check(const struct object *o, const char *when);
/* Whatever it holds: the bytes belong to it. */
uint64_t object_sum(const struct object *o);
void object_scribble(struct object *o, uint64_t value);
/* Checks each word and stores the next value. */
void object_store(struct object *o);
void object_delete(struct object *o);
/* Gives all words their next value, whatever they hold. */
void object_fill(struct object *o);

void table_fill(struct table *t, struct dice *dice);
/* Leaves one in four: what is left lies sparse. */
void table_thin(struct table *t, struct dice *dice);
void table_check(const struct table *t, const char *when);
void table_store(struct table *t);
void table_scribble(struct table *t, uint64_t value);
uint64_t table_sum(const struct table *t);

#endif

#include "table.h"

#include <stdlib.h>

#include "sparse.h"

struct table *tables;

static uint64_t word_value(const struct object *o, uint32_t i, uint32_t sequence) {
  uint32_t mixed = (o->key + i) * 2654435761u;
  return (uint64_t)mixed << 32 | sequence;
}

void object_fill(struct object *o) {
  o->sequence++;
  for (uint32_t i = 0; i < o->count; i++)
    atomic_store_explicit(&o->words[i], word_value(o, i, o->sequence), memory_order_relaxed);
}

void object_new(struct object *o, size_t size, struct dice *dice) {
  _Atomic uint64_t *words = malloc(size);
  if (words == NULL) return;
  o->count = (uint32_t)(size / sizeof *words);
  o->key = (uint32_t)dice_next(dice);
  o->sequence = 0;
  o->cold = dice_below(dice, 2) == 0;
  o->words = words;
  object_fill(o);
}

static _Noreturn void wrong(const struct object *o, uint32_t i, uint64_t seen, uint32_t expected, const char *when) {
  uint64_t right = word_value(o, i, expected);
  fail("%s: word %u of %p (%u words): is %#llx, must be %#llx%s", when, i, (void *)o->words, o->count,
       (unsigned long long)seen, (unsigned long long)right,
       seen >> 32 == right >> 32 ? " (an older store of the same word: one was lost)" : "");
}

void object_check(const struct object *o, const char *when) {
  for (uint32_t i = 0; i < o->count; i++) {
    uint64_t seen = atomic_load_explicit(&o->words[i], memory_order_relaxed);
    uint32_t sequence = o->cold ? o->sequence : (uint32_t)seen;
    if (seen != word_value(o, i, sequence)) wrong(o, i, seen, o->sequence, when);
  }
}

uint64_t object_sum(const struct object *o) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < o->count; i++)
    sum = sum * 31 + atomic_load_explicit(&o->words[i], memory_order_relaxed);
  return sum;
}

void object_scribble(struct object *o, uint64_t value) {
  for (uint32_t i = 0; i < o->count; i++) atomic_store_explicit(&o->words[i], value, memory_order_relaxed);
}

void object_store(struct object *o) {
  for (uint32_t i = 0; i < o->count; i++) {
    uint64_t seen = atomic_load_explicit(&o->words[i], memory_order_relaxed);
    if (seen != word_value(o, i, o->sequence)) wrong(o, i, seen, o->sequence, "before a store");
    atomic_store_explicit(&o->words[i], word_value(o, i, o->sequence + 1), memory_order_relaxed);
    seen = atomic_load_explicit(&o->words[i], memory_order_relaxed);
    if (seen != word_value(o, i, o->sequence + 1)) wrong(o, i, seen, o->sequence + 1, "after a store");
  }
  o->sequence++;
}

/* First out of the table, then freed: a child that is made between finds no freed object. */
void object_delete(struct object *o) {
  struct object last = *o;
  if (last.words == NULL) return;
  for (uint32_t i = 0; i < last.count; i++) {
    uint64_t seen = atomic_load_explicit(&last.words[i], memory_order_relaxed);
    if (seen != word_value(&last, i, last.sequence)) wrong(&last, i, seen, last.sequence, "before free");
  }
  o->words = NULL;
  free((void *)last.words);
}

void table_fill(struct table *t, struct dice *dice) {
  for (int i = 0; i < TABLE_SIZE; i++)
    if (t->object[i].words == NULL) object_new(&t->object[i], sparse_size(dice, 16), dice);
}

void table_thin(struct table *t, struct dice *dice) {
  for (int i = 0; i < TABLE_SIZE; i++)
    if (dice_below(dice, 4) != 0) object_delete(&t->object[i]);
}

void table_check(const struct table *t, const char *when) {
  for (int i = 0; i < TABLE_SIZE; i++)
    if (t->object[i].words != NULL) object_check(&t->object[i], when);
}

void table_store(struct table *t) {
  for (int i = 0; i < TABLE_SIZE; i++)
    if (t->object[i].words != NULL) object_store(&t->object[i]);
}

void table_scribble(struct table *t, uint64_t value) {
  for (int i = 0; i < TABLE_SIZE; i++)
    if (t->object[i].words != NULL) object_scribble(&t->object[i], value);
}

uint64_t table_sum(const struct table *t) {
  uint64_t sum = 0;
  for (int i = 0; i < TABLE_SIZE; i++)
    if (t->object[i].words != NULL) sum = sum * 31 + object_sum(&t->object[i]);
  return sum;
}

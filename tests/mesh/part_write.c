/* write: each thread stores ever larger values into every word of its own objects, and finds each last value there.
   Objects change hands, are resized and freed by whoever has them; threads end and leave theirs to the next. */
#include <errno.h>
#include <stdlib.h>

#include "sparse.h"
#include "table.h"

enum { MAILBOX_SIZE = 256, LIFE_MS = 300, STACK_SIZE = 128 << 10 };

static struct {
  pthread_mutex_t lock;
  struct object object[MAILBOX_SIZE];
} mailbox = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct object *any(struct table *t, struct dice *dice) { return &t->object[dice_below(dice, TABLE_SIZE)]; }

static void resize(struct object *o, struct dice *dice) {
  if (o->words == NULL || o->cold) return;
  size_t size = sparse_size(dice, 16);
  uint32_t old_count = o->count, count = (uint32_t)(size / sizeof(uint64_t));
  struct object kept = *o;
  o->words = NULL;
  kept.words = realloc((void *)kept.words, size);
  must(kept.words != NULL);
  kept.count = count < old_count ? count : old_count;
  object_check(&kept, "after realloc");
  kept.count = count;
  object_fill(&kept);
  *o = kept;
}

static void hand_over(struct object *o, struct dice *dice) {
  pthread_mutex_lock(&mailbox.lock);
  struct object *box = &mailbox.object[dice_below(dice, MAILBOX_SIZE)], got = *box, given = *o;
  o->words = NULL; /* a child must not find one object's address with another's size */
  *box = given;
  pthread_mutex_unlock(&mailbox.lock);
  _Atomic uint64_t *words = got.words;
  got.words = NULL;
  *o = got;
  o->words = words;
}

static void change_set(struct table *t, struct dice *dice) {
  pthread_mutex_lock(&t->lock);
  struct object *o = any(t, dice);
  switch (dice_below(dice, 2000)) {
    case 0: table_thin(t, dice); break;
    case 1: table_fill(t, dice); break;
    default:
      switch (dice_below(dice, 3)) {
        case 0: resize(o, dice); break;
        case 1: hand_over(o, dice); break;
        default:
          if (o->words != NULL)
            object_delete(o);
          else if (dice_below(dice, 3) == 0)
            object_new(o, sparse_size(dice, 16), dice);
      }
  }
  pthread_mutex_unlock(&t->lock);
}

static void *live(void *argument) {
  struct worker *w = argument;
  struct table *t = &tables[w->number];
  const uint64_t end = now_ns() + LIFE_MS * UINT64_C(1000000);
  while (running() && now_ns() < end) {
    for (int i = 0; i < 50; i++) {
      struct object *o = any(t, &w->dice);
      if (o->words != NULL && o->cold) object_check(o, "long after its stores");
      if (o->words != NULL && !o->cold) object_store(o);
    }
    for (int i = 0; i < 3; i++) change_set(t, &w->dice);
    did_one(w);
  }
  return NULL;
}

/* Programs with threads or coroutines of their own making have stacks in the heap. */
static void live_on_heap_stack(struct worker *w) {
  pthread_attr_t attributes;
  pthread_t thread;
  void *stack = malloc(STACK_SIZE);
  must(stack != NULL);
  pthread_attr_init(&attributes);
  must(pthread_attr_setstack(&attributes, stack, STACK_SIZE) == 0);
  must(pthread_create(&thread, &attributes, live, w) == 0);
  pthread_join(thread, NULL);
  pthread_attr_destroy(&attributes);
  free(stack);
}

void write_part(struct worker *w) {
  struct table *t = &tables[w->number];
  pthread_mutex_lock(&t->lock);
  table_fill(t, &w->dice);
  table_thin(t, &w->dice);
  pthread_mutex_unlock(&t->lock);
  while (running()) {
    if (dice_below(&w->dice, 3) == 0)
      live_on_heap_stack(w);
    else
      join_new_thread(live, w);
  }
  for (int i = 0; i < TABLE_SIZE; i++) object_delete(&t->object[i]);
}

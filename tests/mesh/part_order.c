/* order: one thread stores rising numbers into words on many pages, in order, and others read them: a word never goes
   back, and whoever sees a number in a word finds at least that number in all words that are stored before it. */
#include <errno.h>
#include <pthread.h>

#include "sparse.h"
#include "stress.h"

enum { WORDS = 400, READERS = 2, ROUND_MS = 250 };

struct round {
  _Atomic uint64_t *word[WORDS]; /* each in an object of its own */
  atomic_bool over;
  struct worker *w;
};

static void *read_all(void *argument) {
  struct round *r = argument;
  static _Thread_local uint64_t seen[WORDS];
  for (int i = 0; i < WORDS; i++) seen[i] = 0;
  while (!r->over) {
    uint64_t later = 0;
    for (int i = WORDS; i-- > 0;) {
      uint64_t x = atomic_load_explicit(r->word[i], memory_order_acquire);
      if (x < seen[i])
        fail("word %d at %p went back from %llu to %llu", i, (void *)r->word[i], (unsigned long long)seen[i],
             (unsigned long long)x);
      if (x < later)
        fail("word %d at %p is %llu, but one that is stored after it is %llu", i, (void *)r->word[i],
             (unsigned long long)x, (unsigned long long)later);
      seen[i] = later = x;
    }
  }
  return NULL;
}

static void store_all(struct round *r, uint64_t number) {
  for (int i = 0; i < WORDS; i++) {
    uint64_t before = atomic_load_explicit(r->word[i], memory_order_relaxed);
    atomic_store_explicit(r->word[i], number, memory_order_release);
    uint64_t after = atomic_load_explicit(r->word[i], memory_order_relaxed);
    if (before != number - 1 || after != number)
      fail("word %d at %p was %llu before the store of %llu, and is %llu after it", i, (void *)r->word[i],
           (unsigned long long)before, (unsigned long long)number, (unsigned long long)after);
  }
}

static void play_round(struct worker *w) {
  struct round r = {.w = w};
  struct sparse s = sparse_new(WORDS, sparse_size(&w->dice, 64), &w->dice);
  for (int i = 0; i < WORDS; i++) {
    r.word[i] = s.object[i];
    atomic_store_explicit(r.word[i], 0, memory_order_relaxed);
  }
  pthread_t readers[READERS];
  for (int i = 0; i < READERS; i++) must(pthread_create(&readers[i], NULL, read_all, &r) == 0);
  const uint64_t end = now_ns() + ROUND_MS * UINT64_C(1000000);
  for (uint64_t number = 1; running() && now_ns() < end; number++) {
    store_all(&r, number);
    did_one(w);
  }
  r.over = true;
  for (int i = 0; i < READERS; i++) pthread_join(readers[i], NULL);
  sparse_free(&s);
}

void order_part(struct worker *w) {
  while (running()) play_round(w);
}

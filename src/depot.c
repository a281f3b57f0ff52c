#include "depot.h"

/* As many empty magazines a shelf keeps; others go back to the metadata allocator. */
enum { VACANT_MAX = 4 };

typedef struct Shelf {
  Magazine *full;              /* (D) full-size magazines with slots ... */
  _Atomic uint32_t full_count; /* (D), read by all as a hint */
  uint32_t full_low;           /* (D) fewest of them since the last mark: those have not moved */
  Magazine *vacant;            /* (D) ... and without */
  _Atomic uint32_t vacant_count; /* (D), read by all as a hint */
} Shelf;

static struct Shard {
  _Alignas(CACHE_LINE) Lock lock; /* (D) is this lock */
  Shelf shelf[CLASS_END];
} shards[THREAD_SHARDS];

static _Atomic size_t depot_bytes; /* (~) in full magazines, over all classes */

Lock *depot_lock(unsigned shard) { return &shards[shard].lock; }

void depot_init(void) {
  if (!MESH_DEBUG) return;
  for (unsigned i = 0; i < THREAD_SHARDS; i++) shards[i].lock.rank = RANK_DEPOT + i;
}

static size_t bytes_in(const Magazine *m, unsigned c) { return (size_t)m->count * size_classes[c].size; }

static Magazine *take_full(Shelf *s, unsigned c) {
  Magazine *m = s->full;
  if (m == NULL) return NULL;
  s->full = m->next;
  uint32_t left = load_relaxed(&s->full_count) - 1;
  store_relaxed(&s->full_count, left);
  if (left < s->full_low) s->full_low = left;
  sub_relaxed(&depot_bytes, bytes_in(m, c));
  return m;
}

/* False if there are enough. */
static bool put_vacant(Shelf *s, Magazine *m) {
  if (load_relaxed(&s->vacant_count) >= VACANT_MAX) return false;
  m->count = 0;
  m->next = s->vacant;
  s->vacant = m;
  store_relaxed(&s->vacant_count, load_relaxed(&s->vacant_count) + 1);
  return true;
}

static Magazine *take_vacant(Shelf *s) {
  Magazine *m = s->vacant;
  if (m == NULL) return NULL;
  s->vacant = m->next;
  store_relaxed(&s->vacant_count, load_relaxed(&s->vacant_count) - 1);
  return m;
}

Magazine *depot_take(unsigned c, Magazine *empty) {
  for (unsigned i = 0; i < THREAD_SHARDS; i++) {
    struct Shard *shard = &shards[(thread_shard + i) % THREAD_SHARDS];
    Shelf *s = &shard->shelf[c];
    if (load_relaxed(&s->full_count) == 0) continue; /* a hint: who finds none makes do without */
    lock_acquire(&shard->lock);
    Magazine *m = take_full(s, c);
    bool kept = m == NULL || empty == NULL || put_vacant(s, empty);
    lock_release(&shard->lock);
    if (!kept) magazine_delete(empty);
    if (m != NULL) return m;
  }
  return NULL;
}

static bool has_room(size_t bytes) {
  return load_relaxed(&depot_bytes) + bytes <= max_size(DEPOT_KEEP_MIN, arena_used_bytes() / DEPOT_SHARE);
}

bool depot_put(unsigned c, Magazine *full, Magazine **empty) {
  if (!has_room(bytes_in(full, c))) return false;
  struct Shard *shard = &shards[thread_shard];
  Shelf *s = &shard->shelf[c];
  lock_acquire(&shard->lock);
  full->next = s->full;
  s->full = full;
  store_relaxed(&s->full_count, load_relaxed(&s->full_count) + 1);
  add_relaxed(&depot_bytes, bytes_in(full, c));
  *empty = take_vacant(s);
  lock_release(&shard->lock);
  return true;
}

Magazine *depot_take_unmoved(unsigned c) {
  for (unsigned i = 0; i < THREAD_SHARDS; i++) {
    Shelf *s = &shards[i].shelf[c];
    if (load_relaxed(&s->full_count) == 0 || !lock_try(&shards[i].lock)) continue; /* in use: it moves */
    Magazine *m = NULL;
    if (s->full_low > 0) {
      s->full_low--;
      m = take_full(s, c);
    }
    lock_release(&shards[i].lock);
    if (m != NULL) return m;
  }
  return NULL;
}

void depot_mark(unsigned c) {
  for (unsigned i = 0; i < THREAD_SHARDS; i++) {
    Shelf *s = &shards[i].shelf[c];
    if (load_relaxed(&s->full_count) == 0 && load_relaxed(&s->vacant_count) == 0) continue;
    lock_acquire(&shards[i].lock);
    s->full_low = load_relaxed(&s->full_count);
    if (s->full_low == 0)
      for (Magazine *m; (m = take_vacant(s)) != NULL;) magazine_delete(m);
    lock_release(&shards[i].lock);
  }
}

bool depot_is_empty(void) { return load_relaxed(&depot_bytes) == 0; }

size_t depot_cached(unsigned c) {
  size_t slots = 0;
  for (unsigned i = 0; i < THREAD_SHARDS; i++) {
    Shelf *s = &shards[i].shelf[c];
    if (load_relaxed(&s->full_count) == 0) continue;
    lock_acquire(&shards[i].lock);
    for (const Magazine *m = s->full; m != NULL; m = m->next) slots += m->count;
    lock_release(&shards[i].lock);
  }
  return slots;
}

size_t depot_cached_at_most(unsigned c) {
  size_t magazines = 0;
  for (unsigned i = 0; i < THREAD_SHARDS; i++) magazines += load_relaxed(&shards[i].shelf[c].full_count);
  return magazines * size_classes[c].capacity;
}

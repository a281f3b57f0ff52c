#include "stats.h"

#include "arena_mesh.h"
#include "global_heap.h"
#include "init.h"
#include "meta.h"
#include "thread_local_heap.h"

static void add_class(HeapStats *s, unsigned c) {
  ClassHeap *h = &class_heaps[c];
  const SizeClass *sc = &size_classes[c];
  size_t in_caches = thread_heaps_cached(c) + depot_cached(c);
  lock_acquire(&h->lock);
  size_t taken = h->live, cached = min_size(taken, in_caches);
  size_t span_bytes = pages_to_bytes(sc->span_pages), physical = h->spans - h->members;
  s->live_bytes += (taken - cached) * sc->size;
  s->cached_bytes += cached * sc->size;
  s->free_bytes += (physical * sc->slots - taken) * sc->size;
  s->waste_bytes += physical * (span_bytes - sc->slots * (size_t)sc->size);
  s->active_bytes += physical * span_bytes;
  s->meshed_bytes += h->members * span_bytes;
  s->trimmed_bytes += pages_to_bytes(h->trimmed_pages);
  s->spans += h->spans;
  s->spans_peak += h->spans_peak;
  s->span_allocs += h->span_allocs;
  s->span_frees += h->span_frees;
  s->lock_waits += load_relaxed(&h->lock.waits);
  lock_release(&h->lock);
}

void stats_read(HeapStats *s) {
  *s = (HeapStats){.live_bytes = 0};
  if (!init_once()) return;
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) add_class(s, c);
  for (unsigned i = 0; i < THREAD_SHARDS; i++) s->lock_waits += load_relaxed(&depot_lock(i)->waits);
  lock_acquire(&arena.lock);
  s->large_bytes = pages_to_bytes(arena.large_pages);
  s->large_count = arena.large_count;
  s->live_bytes += s->large_bytes;
  s->active_bytes += s->large_bytes;
  s->dirty_bytes = pages_to_bytes(load_relaxed(&arena.dirty_pages));
  s->mapped_bytes = pages_to_bytes(arena.committed);
  s->lock_waits += load_relaxed(&arena.lock.waits);
  lock_release(&arena.lock);
  s->metadata_bytes = arena_metadata_bytes(!arena_mesh_is_forbidden(FORBIDDEN_FILTERED)) + meta_resident();
  s->active_bytes -= s->trimmed_bytes;
  const size_t trimmed_free = min_size(s->free_bytes, s->trimmed_bytes);
  s->free_bytes -= trimmed_free;
  s->waste_bytes -= s->trimmed_bytes - trimmed_free;
  s->resident_bytes = s->active_bytes + s->dirty_bytes + s->metadata_bytes;
  s->maps = arena_mesh_maps();
  s->page_bytes = arena.page_size;
}

size_t stats_resident(const HeapStats *s) {
  if (s->mapped_bytes == 0 || arena_mesh_is_forbidden(FORBIDDEN_FILTERED)) return s->resident_bytes;
  return s->resident_bytes - s->large_bytes - s->dirty_bytes + arena_resident_outside_spans();
}

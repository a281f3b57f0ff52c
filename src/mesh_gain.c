#include "mesh_gain.h"

#include "arena_mesh.h"
#include "barrier.h"
#include "mesh_apply.h"

bool class_meshes(unsigned c) {
  const SizeClass *sc = &size_classes[c];
  return !class_is_pinned(c) && sc->size < arena.page_size && sc->slots > 1 && barrier_allows(sc->size);
}

bool class_trims(unsigned c) { return size_classes[c].span_pages > 1; }

/* Pages that the live slots of a class would leave free if they lay as close as can be. (S) */
static size_t surplus_pages(const ClassHeap *h, const SizeClass *sc) {
  size_t physical = h->spans - h->members, needed = (h->live + sc->slots - 1) / sc->slots;
  size_t pages = physical * sc->span_pages - h->trimmed_pages;
  return pages > needed * sc->span_pages ? pages - needed * sc->span_pages : 0;
}

size_t mesh_worth_while(unsigned c) {
  ClassHeap *h = &class_heaps[c];
  lock_acquire(&h->lock);
  size_t surplus = surplus_pages(h, &size_classes[c]), spans = h->spans - h->members;
  lock_release(&h->lock);
  bool worth = pages_to_bytes(surplus) >= MESH_GAIN_MIN &&
               surplus >= spans * size_classes[c].span_pages / MESH_GAIN_SHARE;
  return worth ? spans : 0;
}

size_t mesh_maps_left(unsigned c) {
  size_t used = arena_mesh_maps(), limit = arena_mesh_maps_limit(), all = 0, own = mesh_worth_while(c);
  for (unsigned i = CLASS_FIRST; i < CLASS_END; i++)
    if (class_meshes(i)) all += mesh_worth_while(i);
  return used < limit && all > 0 ? (size_t)((double)(limit - used) * (double)own / (double)all) : 0;
}

/* Share of a frame that best fit fills with runs of `slots` slots of which a share p is live, in percent:
 * the next run fits with a chance of exp(-slots * fill * p), and some thousand are tried. Fitted to
 * simulations (see bench/match_bench.c). */
static size_t predicted_fill(size_t slots, size_t live_percent) {
  size_t fill = 70000 / (slots * live_percent + 1) + live_percent * 6 / 10;
  return fill > 97 ? 97 : max_size(fill, live_percent);
}

/* Pages to win with rows of 1 << i spans, within the mappings that are left. A row costs one mapping where
 * nothing between rows is left out, two if it is apart from all others: 7/4 as measured on sparse heaps. Where
 * mappings are scarce, one that is left over wins something too, if the frames will not be too full for the
 * shorter rows of the next stage. */
static size_t score_of(const RowCount *n, const MapsLeft *left, unsigned i) {
  size_t fill = predicted_fill((size_t)n->slots << i, n->live_percent);
  size_t gain = (n->rows_of[i] << i) * (fill - n->live_percent) / fill;
  size_t maps = left->filled ? n->rows_of[i] : n->rows_of[i] * 7 / 4;
  if (!left->scarce || gain == 0) return gain;
  if (maps > left->maps) return gain * left->maps / maps;
  return gain + (fill < 50 ? (left->maps - maps) * (50 - fill) / 50 : 0);
}

uint32_t mesh_choose_run(const RowCount *n, const MapsLeft *left, uint32_t run_max) {
  uint32_t best = 1;
  size_t best_score = 0;
  for (unsigned i = 0; 1u << i <= run_max && (n->slots << i) / 64 < MESH_RUN_WORDS; i++) {
    size_t score = score_of(n, left, i);
    if (score > 0 && score >= best_score - best_score / 20) {
      best = 1u << i;
      best_score = max_size(best_score, score);
    }
  }
  return best;
}

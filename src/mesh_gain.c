#include "mesh_gain.h"

#include "arena_mesh.h"
#include "barrier.h"
#include "mesh_apply.h"
#include "options.h"

/* The price goes up in steps until few enough mappings are asked for, or none at all: no row has so many pages. */
#define PRICE_STEP 1.25
#define PRICE_MAX 256.0 /* pages */

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

/* How full, in percent, best fit makes frames with rows of `slots` slots of which p percent are live:
 * the next row fits with a chance of exp(-slots * fill * p), and some thousand are tried. Fitted to
 * what the matcher does with random bitmaps. */
static double predicted_fill(size_t slots, double p) {
  double fill = 70000 / ((double)slots * p) + 0.6 * p;
  if (p > 40) fill -= 2 * (p - 40);
  if (fill > 70) fill = 70 + (fill - 70) / 2;
  return fill < p ? p : fill > 97 ? 97 : fill;
}

/* The share of their pages that meshing may win. */
static double predicted_gain(size_t slots, double p) { return p < 97 ? 1 - p / predicted_fill(slots, p) : 0; }

bool mesh_worth_while(unsigned c) {
  ClassHeap *h = &class_heaps[c];
  lock_acquire(&h->lock);
  size_t surplus = surplus_pages(h, &size_classes[c]), spans = h->spans - h->members;
  lock_release(&h->lock);
  return pages_to_bytes(surplus) >= MESH_GAIN_MIN && surplus >= spans * size_classes[c].span_pages / MESH_GAIN_SHARE;
}

/* ---------------------------------------------------------------------------------------- rows */

/* What all rows of 1 << i spans win, in pages, and the mappings that they take: one each, and one for each gap
 * where something else is left as it was. */
typedef struct RowValue {
  double rows, pages, maps;
} RowValue;

static RowValue value_of(const RowCount *n, unsigned i) {
  const size_t spans = n->spans + (i > 0 ? n->fillers : 0), gaps = n->gaps + (i > 0 ? 0 : n->holes);
  const double percent = 100.0 * (double)max_size(1, n->live) / (double)max_size(1, spans * n->slots);
  const double rows = (double)n->rows_of[i], pages = (double)(n->span_pages << i);
  return (RowValue){.rows = rows,
                    .pages = rows * pages * predicted_gain((size_t)n->slots << i, percent),
                    .maps = rows + (double)min_size(gaps, n->rows_of[i])};
}

static bool may_be(const RowCount *n, unsigned i, uint32_t run_max) {
  return i < RUN_LENGTHS && 1u << i <= run_max && (n->slots << i) / 64 < MESH_RUN_WORDS;
}

static void consider(RowPlan *best, RowPlan plan) {
  if (plan.rows > 0 && plan.gain > 0 && plan.gain >= best->gain) *best = plan;
}

RowPlan mesh_plan_rows(const RowCount *n, const MapBudget *budget, uint32_t run_max) {
  const double left = (double)budget->maps, price = budget->price;
  RowPlan best = {.run = 1};
  RowValue value[RUN_LENGTHS];
  for (unsigned i = 0; may_be(n, i, run_max); i++) {
    const RowValue *v = &value[i];
    value[i] = value_of(n, i);
    const double share = v->maps > left ? left / v->maps : 1;
    consider(&best, (RowPlan){.run = 1u << i,
                              .rows = (size_t)(share * v->rows),
                              .gain = share * (v->pages - price * v->maps)});
    /* Some in these rows, the rest in shorter ones that would take too many. */
    for (unsigned k = 0; k < i && v->maps < left; k++) {
      if (value[k].maps <= left) continue;
      const double longer = (value[k].maps - left) / (value[k].maps - v->maps);
      consider(&best, (RowPlan){.run = 1u << i,
                                .rows = (size_t)(longer * v->rows),
                                .gain = longer * v->pages + (1 - longer) * value[k].pages - price * left,
                                .mixed = true});
    }
  }
  return best;
}

/* --------------------------------------------------------------------------------------- price */

/* Mappings that a class asks for at this price. */
static double demand_of(const RowCount *n, double price) {
  double best = 0, maps = 0;
  for (unsigned i = 0; may_be(n, i, MESH_RUN_SPANS); i++) {
    const RowValue v = value_of(n, i);
    if (v.pages - price * v.maps <= best) continue;
    best = v.pages - price * v.maps;
    maps = v.maps;
  }
  return maps;
}

/* Before its spans are counted: half of them are neighbours. */
static RowCount estimate(unsigned c) {
  ClassHeap *h = &class_heaps[c];
  RowCount n = {.slots = size_classes[c].slots, .span_pages = size_classes[c].span_pages};
  if (!class_meshes(c) || !mesh_worth_while(c)) return n;
  lock_acquire(&h->lock);
  n.spans = h->spans - h->members;
  n.live = h->live;
  lock_release(&h->lock);
  n.gaps = n.spans / 2;
  for (unsigned i = 0; i < RUN_LENGTHS; i++) n.rows_of[i] = n.spans >> i;
  return n;
}

static double demand_of_others(unsigned c, const RowCount *n, double price) {
  double maps = 0;
  for (unsigned i = CLASS_FIRST; i < CLASS_END; i++)
    if (i != c) maps += demand_of(&n[i], price);
  return maps;
}

/* A heap that can be meshed page by page may be. The larger it is beyond that, the longer its rows have to be anyway:
 * then there are fewer mappings, down to as many as keep a fork, to which each costs as much as some tens of
 * pages, in proportion to the heap. */
static size_t maps_limit(void) {
  const size_t limit = arena_mesh_maps_limit(), pages = load_relaxed(&arena.used_pages);
  if (options.max_maps != 0 || pages <= limit) return limit;
  const size_t fewer = min_size(limit, (pages - limit) / MESH_PAGES_PER_MAP_LESS);
  return min_size(limit, max_size(limit - fewer, pages / MESH_PAGES_PER_MAP));
}

MapBudget mesh_map_budget(unsigned c, const RowCount *counted, size_t uncounted) {
  static RowCount n[CLASS_END]; /* (mesh lock) */
  for (unsigned i = CLASS_FIRST; i < CLASS_END; i++) n[i] = i == c ? *counted : estimate(i);
  const size_t used = arena_mesh_maps(), limit = maps_limit();
  const double left = used < limit ? (double)(limit - used) : 0;
  const double all = 1 + (double)uncounted / (double)max_size(1, counted->spans);
  double price = MESH_MAP_PRICE, others = demand_of_others(c, n, price), more = price;
  while (price < PRICE_MAX && others + all * demand_of(counted, price) > left) {
    more = price;
    price *= PRICE_STEP;
    others = demand_of_others(c, n, price);
  }
  return (MapBudget){.maps = others < left ? (size_t)(left - others) : 0, .price = more};
}

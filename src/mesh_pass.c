#include "mesh_pass.h"

#include <string.h>

#include "arena_mesh.h"
#include "barrier.h"
#include "global_heap.h"
#include "group_drain.h"
#include "mesh_apply.h"
#include "mesh_gain.h"
#include "mesh_group.h"
#include "mesh_match.h"
#include "mesh_renewal.h"
#include "mesh_rows.h"
#include "options.h"
#include "os.h"

enum {
  MATCH_BUDGET = 50000,   /* about 50 us */
  RELEASE_PIECE = 1 << 20, /* bytes: 256 pages, about 50 us */
  RENEW_AFTER_MS = 300,   /* after meshing begins again: what passes can mesh is not to be renewed */
  MAPS_WORTH = 64,        /* mappings; with fewer left a search costs more than it can win */
};

typedef enum PassState {
  PASS_IDLE,
  PASS_DRAIN,   /* the depot of the class */
  PASS_COUNT,   /* rows that there are */
  PASS_LIST,    /* rows of the length that wins most */
  PASS_MATCH,
  PASS_APPLY,
  PASS_RELEASE, /* the memory for all that; then the next stage, if there is one */
  PASS_RENEW,   /* instead of a class: frames from before a fork */
  PASS_UNMAP,   /* ... and the window of theirs */
} PassState;

/* The pass under way; (M) is the mesh lock. A row is a run of neighbouring spans that are matched as one. */
static struct {
  PassState state;   /* (M) */
  bool unsettled_too; /* (M) mesh.compact does not wait */
  unsigned c;         /* (M) class */
  uint32_t run_max;   /* (M) spans in a row, at most: the second stage of a pass has shorter rows */
  bool mixed;         /* (M) there is to be a second stage */
  MapBudget budget;   /* (M) */
  char *memory;       /* (M) one mapping for the rows and the matcher */
  size_t memory_size; /* (M) */
  MeshRows rows;      /* (M) */
  MeshMatch match;    /* (M) */
  uint32_t next;      /* (M) place in match.member of the next row to join ... */
  uint32_t leading;   /* (M) ... and of the row whose groups it joins */
  size_t released;    /* (M) pages by this pass */
} pass;

static _Atomic uint64_t next_due; /* (~) os_now_ms when the next pass is due, as the last look had it */

static struct {
  _Atomic uint64_t pause_until; /* (~) os_now_ns before which no call that is waited for works on a pass */
  _Atomic uint64_t next_look;   /* (~) os_now_ms of the next look for something to do */
} pace;

static MeshFigures figures; /* (M) */

/* -------------------------------------------------------------------------------------- start */

static void begin_count(void) {
  mesh_rows_begin_count(&pass.rows, pass.c, pass.unsettled_too);
  pass.state = PASS_COUNT;
}

/* One mapping for the rows and, behind them, the matcher. */
static bool begin_list(uint32_t run, size_t rows) {
  const size_t listed = mesh_rows_memory(&pass.rows, run, rows);
  pass.memory_size = round_up(listed + mesh_match_memory(rows, run * size_classes[pass.c].slots), arena.page_size);
  pass.memory = os_map(pass.memory_size);
  if (pass.memory == NULL) {
    pass.memory_size = 0;
    return false;
  }
  mesh_rows_begin_list(&pass.rows, run, rows, pass.memory);
  pass.state = PASS_LIST;
  return true;
}

static void start(unsigned c) {
  pass.c = c;
  pass.run_max = 1u << (RUN_LENGTHS - 1);
  pass.released = 0;
  pass.state = PASS_DRAIN;
  figures.passes++;
}

/* A slot in a magazine pins its span: the depot goes first, a magazine at a time. */
static void drain(void) {
  if (!depot_drain_some(pass.c, 1)) begin_count();
}

static size_t candidates(void) { return pass.rows.lone.spans + pass.rows.bound.spans; }

static void set_wait(ClassHeap *h, uint32_t wait_ms, uint64_t now_ms) {
  h->mesh_wait = wait_ms;
  h->mesh_after = now_ms + wait_ms;
}

/* Ever longer waits. */
static void back_off(ClassHeap *h, uint64_t now_ms) {
  size_t wait = 2 * (size_t)max_size(h->mesh_wait, options.period_ms);
  set_wait(h, (uint32_t)min_size(MESH_BACKOFF_MAX_MS, wait), now_ms);
}

static void finish(uint64_t now_ms) {
  ClassHeap *h = &class_heaps[pass.c];
  pass.run_max = 0;
  pass.state = pass.memory_size > 0 ? PASS_RELEASE : PASS_IDLE;
  /* What was worth while will be again after a period; what was not, later. Spans that had yet to settle are no
   * proof that there is nothing to win. */
  bool won = pages_to_bytes(pass.released) >= MESH_GAIN_MIN / 4;
  if (won || pass.rows.unsettled > candidates() / 4)
    set_wait(h, options.period_ms, now_ms);
  else
    back_off(h, now_ms);
}

/* Where mappings are scarce the longer rows come first. */
static void end_stage(uint64_t now_ms) {
  if (!pass.mixed) {
    finish(now_ms);
    return;
  }
  pass.run_max = pass.rows.run / 2;
  pass.state = PASS_RELEASE;
}

/* Unmapping much that was touched takes long: a piece at a time. */
static void release(void) {
  size_t piece = min_size(pass.memory_size, RELEASE_PIECE);
  pass.memory_size -= piece;
  os_unmap(pass.memory + pass.memory_size, piece);
  if (pass.memory_size > 0) return;
  if (pass.run_max > 0)
    begin_count();
  else
    pass.state = PASS_IDLE;
}

static bool is_due(const ClassHeap *h, uint64_t now_ms) {
  return pass.unsettled_too || now_ms >= h->mesh_after;
}

/* Begins the renewal if it is due. `progress` is what else there is to do. */
static MeshProgress choose_renewal(uint64_t now_ms, MeshProgress progress) {
  uint64_t due_ms;
  if (!mesh_renewal_pending(&due_ms) || arena_mesh_is_forbidden(~0u)) return progress;
  if ((pass.unsettled_too || now_ms >= due_ms) && mesh_renewal_begin(now_ms, &due_ms)) {
    if (arena_mesh_open()) {
      pass.state = PASS_RENEW;
      return MESH_MORE;
    }
    due_ms = mesh_renewal_put_off(now_ms);
  }
  if (progress == MESH_NOTHING || due_ms < load_relaxed(&next_due)) store_relaxed(&next_due, due_ms);
  return MESH_LATER;
}

static bool may_start(unsigned c) {
  return (class_meshes(c) || class_trims(c)) && mesh_worth_while(c) && (class_trims(c) || arena_mesh_open());
}

/* Starts a pass over the next class with something to gain. */
static MeshProgress choose(uint64_t now_ms) {
  MeshProgress progress = MESH_NOTHING;
  if (arena_mesh_unmap_old_window(RELEASE_PIECE)) {
    pass.state = PASS_UNMAP;
    return MESH_MORE;
  }
  for (unsigned i = 0; i < CLASS_END - CLASS_FIRST; i++) {
    unsigned c = CLASS_FIRST + (pass.c + i) % (CLASS_END - CLASS_FIRST);
    if (!(class_meshes(c) || class_trims(c)) || !mesh_worth_while(c)) continue;
    const bool due = is_due(&class_heaps[c], now_ms), stuck = due && !class_trims(c) && !arena_mesh_open();
    if (stuck) back_off(&class_heaps[c], now_ms);
    if (progress == MESH_NOTHING || class_heaps[c].mesh_after < load_relaxed(&next_due))
      store_relaxed(&next_due, class_heaps[c].mesh_after);
    progress = MESH_LATER;
    if (!due || stuck) continue;
    start(c);
    return MESH_MORE;
  }
  return choose_renewal(now_ms, progress);
}

/* ---------------------------------------------------------------------------------------- rows */

/* Where mappings are scarce, none is spent before the heap has its shape: what meshes now, in rows for the
 * occupancy of this moment, would be in the way of what could mesh better then. */
static bool too_early(void) {
  return !pass.unsettled_too && pass.budget.price > MESH_MAP_PRICE && pass.rows.unsettled > candidates() / 16;
}

/* What wins more: rows of spans that stand for themselves, or rows that are groups, as they are. Either way all
 * that are of this length by then take part: `rows` is as many as that may be. Where there is nothing to win by chance,
 * there may be by order (objects that died together lay together): a search costs no mapping. */
static RowPlan plan(void) {
  const MeshRows *r = &pass.rows;
  pass.budget = mesh_map_budget(pass.c, &r->lone, r->unsettled);
  const RowPlan lone = mesh_plan_rows(&r->lone, &pass.budget, pass.run_max);
  const RowPlan bound = mesh_plan_rows(&r->bound, &pass.budget, pass.run_max);
  RowPlan best = bound.gain > lone.gain ? (RowPlan){.run = bound.run, .gain = bound.gain} : lone;
  const double least = pass.unsettled_too ? 0 : (double)bytes_to_pages(MESH_GAIN_MIN / 4);
  if (best.gain <= least) best = (RowPlan){.run = 1, .rows = pass.budget.maps >= r->lone.spans ? r->lone.spans : 0};
  best.rows += r->bound.spans / best.run;
  return best;
}

static void counted(void) {
  const uint64_t now_ms = os_now_ms();
  pass.released += pass.rows.trimmed;
  pass.mixed = false;
  if (candidates() < 2 || !arena_mesh_open()) {
    finish(now_ms);
    return;
  }
  const RowPlan p = plan();
  pass.mixed = p.mixed;
  if (p.rows < 2 || pass.budget.maps < MAPS_WORTH || too_early() || !begin_list(p.run, p.rows)) finish(now_ms);
}

static void count(void) {
  if (!mesh_rows_count_some(&pass.rows)) counted();
}

static void list(void) {
  MeshRows *r = &pass.rows;
  if (mesh_rows_list_some(r)) return;
  char *rest = pass.memory + mesh_rows_memory(r, r->run, r->max);
  mesh_match_begin(&pass.match, rest, r->bits, r->count, r->run * size_classes[pass.c].slots);
  pass.state = PASS_MATCH;
}

/* -------------------------------------------------------------------------------------- match */

static void match(void) {
  if (!mesh_match_step(&pass.match, MATCH_BUDGET)) return;
  pass.next = 0;
  pass.state = PASS_APPLY;
}

/* -------------------------------------------------------------------------------------- apply */

static uint32_t row_at(size_t place) { return pass.match.member[place]; }

/* The row at this place of match.member belongs to the group of the one before it. */
static bool same_group(size_t place) {
  return place < pass.match.grouped && pass.match.group[row_at(place)] != row_at(place);
}

/* Puts the row that costs most to move first: it leads. */
static void choose_leading_row(void) {
  const uint32_t first = row_at(pass.leading);
  uint32_t best = first;
  size_t best_size = 0;
  for (size_t i = pass.leading; i == pass.leading || same_group(i); i++) {
    uint32_t page = pass.rows.page[row_at(i)];
    if (!mesh_candidate(page, pass.c) || !frame_is_current(miniheap_of(page)->frame)) continue;
    size_t size = mesh_group_size(page);
    if (size > best_size) {
      best = row_at(i);
      best_size = size;
    }
  }
  uint32_t page = pass.rows.page[first];
  pass.rows.page[first] = pass.rows.page[best];
  pass.rows.page[best] = page;
}

/* The next row of match.member that leads others; false if there is none. Rows that are alone are passed over. */
static bool next_leading_row(void) {
  while (pass.next < pass.match.grouped && !same_group(pass.next + 1)) pass.next++;
  if (pass.next >= pass.match.grouped) return false;
  pass.leading = pass.next++;
  choose_leading_row();
  return true;
}

/* A batch: what is left of the group under way, and the groups after it as far as they fit. */
static void apply(void) {
  ClassHeap *h = &class_heaps[pass.c];
  const SizeClass *sc = &size_classes[pass.c];
  lock_acquire(&h->lock);
  mesh_batch_begin(pass.c, pass.rows.run);
  bool more = same_group(pass.next) || next_leading_row();
  while (more && mesh_batch_lead(pass.rows.page[row_at(pass.leading)])) {
    while (same_group(pass.next) && mesh_batch_join(pass.rows.page[row_at(pass.next)])) pass.next++;
    if (same_group(pass.next)) break;
    more = next_leading_row();
  }
  size_t joined = mesh_batch_end();
  lock_release(&h->lock);
  figures.meshes += joined;
  figures.pages_total += joined * sc->span_pages;
  pass.released += joined * sc->span_pages;
  figures.pages_peak = max_size(figures.pages_peak, load_relaxed(&mesh_pages_released));
  if (!more) end_stage(os_now_ms());
}

/* --------------------------------------------------------------------------------------- pace */

static MeshProgress step(void) {
  switch (pass.state) {
    case PASS_IDLE: return choose(os_now_ms());
    case PASS_DRAIN: drain(); break;
    case PASS_COUNT: count(); break;
    case PASS_LIST: list(); break;
    case PASS_MATCH: match(); break;
    case PASS_APPLY: apply(); break;
    case PASS_RELEASE: release(); break;
    case PASS_UNMAP:
      if (!arena_mesh_unmap_old_window(RELEASE_PIECE)) pass.state = PASS_IDLE;
      break;
    case PASS_RENEW:
      if (!mesh_renewal_step(os_now_ms())) pass.state = PASS_IDLE;
      break;
  }
  return MESH_MORE;
}

static MeshProgress work_locked(uint64_t ns) {
  const uint64_t begin = os_now_ns();
  uint64_t now = begin;
  MeshProgress progress = MESH_MORE;
  lock_was_wanted = false;
  while (progress == MESH_MORE && !lock_was_wanted && now - begin < ns) {
    progress = step();
    now = os_now_ns();
  }
  if (progress == MESH_MORE || now - begin > 20000) {
    figures.total_ns += now - begin;
    if (now - begin > figures.longest_ns) figures.longest_ns = now - begin;
  }
  return progress;
}

MeshProgress mesh_pass_work(uint64_t ns) {
  if (options.period_ms == 0) return MESH_NOTHING;
  if (!lock_try(mesh_lock())) return MESH_BUSY;
  MeshProgress progress = work_locked(ns);
  lock_release(mesh_lock());
  return progress == MESH_MORE && lock_was_wanted ? MESH_BUSY : progress;
}

uint32_t mesh_pass_next_due(uint64_t now_ms) {
  const uint64_t due = load_relaxed(&next_due);
  return due <= now_ms ? 1 : (uint32_t)min_size(due - now_ms, UINT32_MAX);
}

void mesh_pass_tick(uint64_t now_ms) {
  if (options.period_ms == 0 || options.background || locks_held > 0) return;
  if (now_ms < load_relaxed(&pace.next_look)) return;
  uint64_t begin = os_now_ns();
  if (begin < load_relaxed(&pace.pause_until)) return;
  MeshProgress progress = mesh_pass_work(MESH_INCREMENT_NS);
  uint64_t spent = os_now_ns() - begin;
  store_relaxed(&pace.pause_until, begin + spent * MESH_DUTY);
  if (progress < MESH_MORE) store_relaxed(&pace.next_look, now_ms + min_size(options.period_ms, 100));
}

size_t mesh_pass_all(void) {
  if (options.period_ms == 0) return 0;
  size_t before = load_relaxed(&mesh_pages_released), released;
  lock_acquire(mesh_lock());
  do {
    released = load_relaxed(&mesh_pages_released);
    while (pass.state != PASS_IDLE) step();
    pass.unsettled_too = true;
    for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) {
      if (may_start(c)) start(c);
      while (pass.state != PASS_IDLE) step();
    }
    pass.unsettled_too = false;
  } while (load_relaxed(&mesh_pages_released) > released + (released - before) / 16);
  pass.unsettled_too = true;
  if (choose_renewal(os_now_ms(), MESH_NOTHING) == MESH_MORE)
    while (pass.state != PASS_IDLE) step();
  pass.unsettled_too = false;
  lock_release(mesh_lock());
  released = load_relaxed(&mesh_pages_released);
  return released > before ? released - before : 0;
}

/* How long after a fork meshing begins again: ever longer for a program that forks often, because each
 * fork undoes it. */
static uint32_t wait_after_fork(uint64_t now_ms) {
  static uint64_t last_fork; /* (M) */
  static uint32_t wait;      /* (M) */
  bool often = now_ms - last_fork < 4 * max_size(wait, options.period_ms);
  wait = often ? (uint32_t)min_size(MESH_BACKOFF_MAX_MS, 2 * (size_t)max_size(wait, 1)) : options.period_ms;
  wait = (uint32_t)max_size(wait, options.period_ms);
  last_fork = now_ms;
  return wait;
}

/* Every span of a group becomes one of its own. All locks are held. */
static void dissolve_groups(void) {
  for (uint32_t page = 1; page < arena.frontier; page++) {
    unsigned c = class_at(page_address(page));
    if (c < CLASS_FIRST || c >= CLASS_END || miniheap_of(page)->offset != 0) continue;
    if (!is_leader(page) || !has_members(page)) continue;
    class_heaps[c].members -= (uint32_t)mesh_group_size(page) - 1;
    uint32_t p = page, next;
    mesh_group_keep_own_bits(page);
    do {
      MiniHeap *mh = miniheap_of(p);
      next = mh->group_next;
      mh->group_next = mh->leader = p;
      rebin(&class_heaps[c], p, mh);
      p = next;
    } while (p != page);
  }
  store_relaxed(&mesh_pages_released, 0);
}

void mesh_pass_fork(void) {
  if (pass.state != PASS_IDLE) {
    if (pass.memory_size > 0) os_unmap(pass.memory, pass.memory_size);
    pass.memory_size = 0;
    pass.state = PASS_IDLE;
  }
  const size_t released = load_relaxed(&mesh_pages_released);
  if (!arena_mesh_fork()) return;
  dissolve_groups();
  const uint64_t now_ms = os_now_ms(), wait = wait_after_fork(now_ms);
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) class_heaps[c].mesh_after = now_ms + wait;
  mesh_renewal_schedule(now_ms + wait + RENEW_AFTER_MS, arena_mesh_pages_on_old_files() - released);
}

void mesh_pass_figures(MeshFigures *f) {
  lock_acquire(mesh_lock());
  *f = figures;
  f->pages_now = load_relaxed(&mesh_pages_released);
  lock_release(mesh_lock());
}

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
#include "options.h"
#include "os.h"
#include "span_trim.h"

enum {
  SCAN_PAGES = 1024,      /* pages looked at in one hold of the class lock */
  MATCH_BUDGET = 50000,   /* about 50 us */
  RELEASE_PIECE = 1 << 20, /* bytes: 256 pages, about 50 us */
  RENEW_AFTER_MS = 300,   /* after meshing begins again: what passes can mesh is not to be renewed */
  MAPS_WORTH = 64,        /* mappings; with fewer left a search costs more than it can win */
};

typedef enum PassState { PASS_IDLE, PASS_DRAIN, PASS_COUNT, PASS_SCAN, PASS_MATCH, PASS_APPLY, PASS_RELEASE, PASS_RENEW } PassState;

/* The pass under way; (M) is the mesh lock. A row is a run of neighbouring spans that are matched as one. */
static struct {
  PassState state;   /* (M) */
  bool unsettled_too; /* (M) mesh.compact does not wait */
  unsigned c;        /* (M) class */
  uint32_t run;      /* (M) spans in a row ... */
  uint32_t run_max;  /* (M) ... and how many they may be: each stage of a pass has shorter rows */
  MapsLeft left;     /* (M) */
  size_t row_words;  /* (M) words of a row's bitmap */
  char *memory;      /* (M) one mapping for all of what follows */
  size_t memory_size;
  uint32_t *page;    /* (M) [rows] first page of the row */
  uint64_t *bits;    /* (M) [rows * row_words] */
  size_t rows, rows_max;
  uint32_t cursor;   /* (M) scan: next page; apply: place in match.member of the next row to join ... */
  uint32_t leading;  /* (M) ... and of the row whose groups it joins */
  MeshMatch match;   /* (M) */
  size_t released;   /* (M) pages by this pass */
  uint32_t stretch;  /* (M) count: neighbouring candidates so far, and free pages between them ... */
  uint32_t free_spans; /* (M) ... of which these come last */
  size_t candidates; /* (M) count: spans that can be matched ... */
  size_t live;       /* (M) ... and their live slots */
  RowCount count;    /* (M) */
  uint32_t unsettled; /* (M) spans that the scan passed over because they may yet become empty */
} pass;

static _Atomic uint32_t next_due; /* (~) os_now_ms when the next pass is due, as the last look had it */

static struct {
  _Atomic uint64_t pause_until; /* (~) os_now_ns before which no call that is waited for works on a pass */
  _Atomic uint32_t next_look;   /* (~) os_now_ms of the next look for something to do */
} pace;

static MeshFigures figures; /* (M) */

/* -------------------------------------------------------------------------------------- start */

static bool allocate_rows(unsigned c) {
  const size_t slots = size_classes[c].slots;
  pass.row_words = bitmap_words(pass.run * slots);
  pass.rows_max = pass.count.rows_of[log2_floor(pass.run)] + 1;
  /* Of long rows no more than can all be mapped: so they are neighbours, and one mapping each. */
  if (pass.left.scarce && pass.run >= 8) pass.rows_max = min_size(pass.rows_max, pass.left.maps * 8 / 9);
  size_t head = round_up(pass.rows_max * sizeof(uint32_t), 64);
  size_t bits = pass.rows_max * pass.row_words * sizeof(uint64_t);
  size_t match = mesh_match_memory(pass.rows_max, pass.run * slots);
  pass.memory_size = round_up(head + bits + match, arena.page_size);
  pass.memory = os_map(pass.memory_size);
  if (pass.memory == NULL) {
    pass.memory_size = 0;
    return false;
  }
  pass.page = (uint32_t *)pass.memory;
  pass.bits = (uint64_t *)(pass.memory + head);
  return true;
}

static void begin_count(void) {
  pass.state = PASS_COUNT;
  pass.cursor = 1;
  pass.stretch = pass.free_spans = pass.unsettled = 0;
  pass.candidates = pass.live = 0;
  pass.count = (RowCount){.slots = size_classes[pass.c].slots};
}

static void begin_scan(void) {
  pass.state = PASS_SCAN;
  pass.rows = 0;
  pass.cursor = 1;
}

static void start(unsigned c) {
  pass.c = c;
  pass.left.filled = class_meshes(c) && mesh_maps_left(c) < class_heaps[c].spans; /* read without its lock: an estimate */
  pass.run_max = 1u << (RUN_LENGTHS - 1);
  pass.released = 0;
  pass.state = PASS_DRAIN;
  figures.passes++;
}

/* A slot in a magazine pins its span: the depot goes first, a magazine at a time. */
static void drain(void) {
  if (!depot_drain_some(pass.c, 1)) begin_count();
}

static void finish(uint32_t now_ms) {
  ClassHeap *h = &class_heaps[pass.c];
  pass.run_max = 0;
  pass.state = pass.memory_size > 0 ? PASS_RELEASE : PASS_IDLE;
  /* What was worth while will be again after a period; what was not, after ever longer waits. Spans that
   * had yet to settle are no proof that there is nothing to win. */
  bool won = pages_to_bytes(pass.released) >= MESH_GAIN_MIN / 4;
  if (won || pass.unsettled > pass.candidates / 4)
    h->mesh_wait = options.period_ms;
  else
    h->mesh_wait = (uint32_t)min_size(MESH_BACKOFF_MAX_MS, 2 * (size_t)max_size(h->mesh_wait, options.period_ms));
  h->mesh_after = now_ms + h->mesh_wait;
}

/* Where mappings are scarce the longest rows come first, because a mapping wins most with them. */
static void end_stage(uint32_t now_ms) {
  if (!pass.left.scarce || pass.run == 1) {
    finish(now_ms);
    return;
  }
  pass.run_max = pass.run / 2;
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

static bool is_due(const ClassHeap *h, uint32_t now_ms) {
  return pass.unsettled_too || (int32_t)(now_ms - h->mesh_after) >= 0;
}

/* Begins the renewal if it is due. `progress` is what else there is to do. */
static MeshProgress choose_renewal(uint32_t now_ms, MeshProgress progress) {
  uint32_t due_ms;
  if (!mesh_renewal_pending(&due_ms)) return progress;
  if (!pass.unsettled_too && (int32_t)(now_ms - due_ms) < 0) {
    if (progress == MESH_NOTHING || (int32_t)(due_ms - load_relaxed(&next_due)) < 0) store_relaxed(&next_due, due_ms);
    return MESH_LATER;
  }
  if (!arena_mesh_open()) return progress;
  pass.state = PASS_RENEW;
  return MESH_MORE;
}

/* Starts a pass over the next class with something to gain. */
static MeshProgress choose(uint32_t now_ms) {
  MeshProgress progress = MESH_NOTHING;
  for (unsigned i = 0; i < CLASS_END - CLASS_FIRST; i++) {
    unsigned c = CLASS_FIRST + (pass.c + i) % (CLASS_END - CLASS_FIRST);
    if (!(class_meshes(c) || class_trims(c)) || !mesh_worth_while(c)) continue;
    if (progress == MESH_NOTHING || (int32_t)(class_heaps[c].mesh_after - load_relaxed(&next_due)) < 0)
      store_relaxed(&next_due, class_heaps[c].mesh_after);
    progress = MESH_LATER;
    if (!is_due(&class_heaps[c], now_ms)) continue;
    if (!class_trims(c) && !arena_mesh_open()) continue;
    start(c);
    return MESH_MORE;
  }
  return choose_renewal(now_ms, progress);
}

/* --------------------------------------------------------------------------------------- scan */

static bool is_settled(uint32_t page, uint32_t now_ms) {
  return pass.unsettled_too || now_ms - miniheap_of(page)->stamp >= MESH_SETTLE_MS;
}

/* Trims the span if it is one that can be. Its pages count as released. (S) */
static void trim(ClassHeap *h, uint32_t page, uint32_t now_ms) {
  MiniHeap *mh = miniheap_of(page);
  if (mh->offset != 0 || mh->bin == BIN_NONE || mh->bin == BIN_FRESH || !is_settled(page, now_ms)) return;
  size_t before = h->trimmed_pages;
  span_trim(h, page);
  if (h->trimmed_pages > before) pass.released += h->trimmed_pages - before;
}

/* What stands at `page`, the pages it takes, and whether it can be a row's next span. (S) */
static bool settled_candidate(uint32_t page, uint32_t now_ms) {
  if (!mesh_candidate(page, pass.c)) return false;
  if (is_settled(page, now_ms)) return true;
  pass.unsettled++;
  return false;
}

static void end_stretch(void) {
  pass.stretch -= pass.free_spans;
  pass.free_spans = 0;
  for (unsigned i = 0; i < RUN_LENGTHS; i++) pass.count.rows_of[i] += pass.stretch >> i;
  pass.stretch = 0;
}

/* Where mappings are scarce, none is spent before the heap has its shape: what meshes now, in rows for the
 * occupancy of this moment, would be in the way of what could mesh better then. */
static bool too_early(void) {
  return !pass.unsettled_too && pass.left.scarce && pass.unsettled > pass.candidates / 16;
}

static void counted(uint32_t now_ms) {
  if (pass.candidates < 2 || !arena_mesh_open()) {
    finish(now_ms);
    return;
  }
  pass.left.maps = mesh_maps_left(pass.c);
  pass.left.scarce = pass.left.maps < pass.candidates + pass.unsettled;
  if (pass.left.filled && !pass.left.scarce) {
    pass.left.filled = false;
    begin_count();
    return;
  }
  const size_t slots = pass.count.rows_of[0] * pass.count.slots;
  pass.count.live_percent = max_size(1, pass.live * 100 / max_size(1, slots));
  pass.run = mesh_choose_run(&pass.count, &pass.left, pass.run_max);
  bool used_up = pass.left.scarce && pass.left.maps < MAPS_WORTH;
  if (used_up || too_early() || !allocate_rows(pass.c))
    finish(now_ms);
  else
    begin_scan();
}

/* Trims spans, lets go those that could not go before, and counts the rows that there are of each length. */
static void count(uint32_t now_ms) {
  ClassHeap *h = &class_heaps[pass.c];
  const uint32_t span_pages = size_classes[pass.c].span_pages;
  const uint32_t end = arena.frontier; /* read without its lock: only grows, later spans can wait */
  const uint32_t stop = (uint32_t)min_size(end, (size_t)pass.cursor + SCAN_PAGES);
  lock_acquire(&h->lock);
  while (pass.cursor < stop) {
    bool ours = class_at(page_address(pass.cursor)) == pass.c;
    if (ours && miniheap_of(pass.cursor)->offset == 0) group_release_empty(h, pass.cursor);
    ours = ours && class_at(page_address(pass.cursor)) == pass.c;
    if (ours && class_trims(pass.c)) trim(h, pass.cursor, now_ms);
    if (ours && class_meshes(pass.c) && settled_candidate(pass.cursor, now_ms)) {
      pass.candidates++;
      pass.live += miniheap_of(pass.cursor)->live;
      pass.stretch++;
      pass.free_spans = 0;
      pass.cursor += span_pages;
    } else if (pass.left.filled && pass.stretch > pass.free_spans * 2 && mesh_fillable(pass.cursor, pass.c)) {
      pass.stretch++;
      pass.free_spans++;
      pass.cursor += span_pages;
    } else {
      end_stretch();
      pass.cursor++;
    }
  }
  lock_release(&h->lock);
  if (pass.cursor < end) return;
  end_stretch();
  counted(now_ms);
}

static void add_row(uint32_t page, const SizeClass *sc) {
  uint64_t *row = pass.bits + pass.rows * pass.row_words;
  pass.page[pass.rows++] = page;
  for (uint32_t k = 0; k < pass.run; k++, page += sc->span_pages)
    if (class_at(page_address(page)) == pass.c)
      bitmap_append(row, k * sc->slots, miniheap_of(page)->bitmap, sc->slots);
}

/* A row begins with a span of the class, and at least half of it are such. */
static bool is_row(uint32_t page, uint32_t span_pages, uint32_t end, uint32_t now_ms) {
  uint32_t spans = 0;
  for (uint32_t k = 0; k < pass.run; k++, page += span_pages) {
    if (page + span_pages > end) return false;
    if (mesh_candidate(page, pass.c) && is_settled(page, now_ms))
      spans++;
    else if (!pass.left.filled || k == 0 || !mesh_fillable(page, pass.c))
      return false;
  }
  return 2 * spans >= pass.run;
}

static void scan(uint32_t now_ms) {
  ClassHeap *h = &class_heaps[pass.c];
  const SizeClass *sc = &size_classes[pass.c];
  const uint32_t end = arena.frontier; /* as in count */
  const uint32_t stop = (uint32_t)min_size(end, (size_t)pass.cursor + SCAN_PAGES);
  lock_acquire(&h->lock);
  while (pass.cursor < stop && pass.rows < pass.rows_max) {
    if (class_at(page_address(pass.cursor)) == pass.c && is_row(pass.cursor, sc->span_pages, end, now_ms)) {
      add_row(pass.cursor, sc);
      pass.cursor += pass.run * sc->span_pages;
    } else {
      pass.cursor++;
    }
  }
  lock_release(&h->lock);
  if (pass.cursor < end && pass.rows < pass.rows_max) return;
  mesh_match_begin(&pass.match, (char *)pass.bits + pass.rows_max * pass.row_words * sizeof(uint64_t),
                   pass.bits, pass.rows, pass.run * sc->slots);
  pass.state = PASS_MATCH;
}

/* -------------------------------------------------------------------------------------- match */

static void match(void) {
  if (!mesh_match_step(&pass.match, MATCH_BUDGET)) return;
  pass.cursor = 0;
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
    uint32_t page = pass.page[row_at(i)];
    if (!mesh_candidate(page, pass.c) || !frame_is_current(miniheap_of(page)->frame)) continue;
    size_t size = mesh_group_size(page);
    if (size > best_size) {
      best = row_at(i);
      best_size = size;
    }
  }
  uint32_t page = pass.page[first];
  pass.page[first] = pass.page[best];
  pass.page[best] = page;
}

/* The next row of match.member that leads others; false if there is none. Rows that are alone are passed over. */
static bool next_leading_row(void) {
  while (pass.cursor < pass.match.grouped && !same_group(pass.cursor + 1)) pass.cursor++;
  if (pass.cursor >= pass.match.grouped) return false;
  pass.leading = pass.cursor++;
  choose_leading_row();
  return true;
}

/* A batch: what is left of the group under way, and the groups after it as far as they fit. */
static void apply(void) {
  ClassHeap *h = &class_heaps[pass.c];
  const SizeClass *sc = &size_classes[pass.c];
  lock_acquire(&h->lock);
  mesh_batch_begin(pass.c, pass.run);
  bool more = same_group(pass.cursor) || next_leading_row();
  while (more && mesh_batch_lead(pass.page[row_at(pass.leading)])) {
    while (same_group(pass.cursor) && mesh_batch_join(pass.page[row_at(pass.cursor)])) pass.cursor++;
    if (same_group(pass.cursor)) break;
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
    case PASS_COUNT: count(os_now_ms()); break;
    case PASS_SCAN: scan(os_now_ms()); break;
    case PASS_MATCH: match(); break;
    case PASS_APPLY: apply(); break;
    case PASS_RELEASE: release(); break;
    case PASS_RENEW:
      if (!mesh_renewal_step()) pass.state = PASS_IDLE;
      break;
  }
  return MESH_MORE;
}

static MeshProgress work_locked(uint64_t ns) {
  const uint64_t begin = os_now_ns();
  uint64_t now = begin;
  MeshProgress progress = MESH_MORE;
  while (progress == MESH_MORE && now - begin < ns) {
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
  return progress;
}

uint32_t mesh_pass_next_due(uint32_t now_ms) {
  int32_t left = (int32_t)(load_relaxed(&next_due) - now_ms);
  return left < 1 ? 1 : (uint32_t)left;
}

void mesh_pass_tick(uint32_t now_ms) {
  if (options.period_ms == 0 || options.background) return;
  if ((int32_t)(now_ms - load_relaxed(&pace.next_look)) < 0) return;
  uint64_t begin = os_now_ns();
  if (begin < load_relaxed(&pace.pause_until)) return;
  MeshProgress progress = mesh_pass_work(MESH_INCREMENT_NS);
  uint64_t spent = os_now_ns() - begin;
  store_relaxed(&pace.pause_until, begin + spent * MESH_DUTY);
  if (progress < MESH_MORE) store_relaxed(&pace.next_look, now_ms + (uint32_t)min_size(options.period_ms, 100));
}

size_t mesh_pass_all(void) {
  if (options.period_ms == 0) return 0;
  size_t before = load_relaxed(&mesh_pages_released), released;
  lock_acquire(mesh_lock());
  do {
    released = load_relaxed(&mesh_pages_released);
    while (pass.state != PASS_IDLE) step();
    pass.unsettled_too = true;
    for (unsigned i = 0; i < CLASS_END && step() == MESH_MORE; i++)
      while (pass.state != PASS_IDLE) step();
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
static uint32_t wait_after_fork(uint32_t now_ms) {
  static uint32_t last_fork, wait; /* (M) */
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
  if (pass.memory_size > 0) os_unmap(pass.memory, pass.memory_size);
  pass.memory_size = 0;
  pass.state = PASS_IDLE;
  if (!arena_mesh_fork()) return;
  dissolve_groups();
  const uint32_t now_ms = os_now_ms(), wait = wait_after_fork(now_ms);
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) class_heaps[c].mesh_after = now_ms + wait;
  mesh_renewal_schedule(now_ms + wait + RENEW_AFTER_MS);
}

void mesh_pass_figures(MeshFigures *f) {
  lock_acquire(mesh_lock());
  *f = figures;
  f->pages_now = load_relaxed(&mesh_pages_released);
  lock_release(mesh_lock());
}

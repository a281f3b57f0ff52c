#include "mesh_match.h"

#include "bits.h"

enum {
  BLOCK_WORDS = 8, /* a cache line for each column, which compilers turn into vector instructions */
  BLOCK_ROWS = 64 * BLOCK_WORDS,
  LOOKS_AT_ONCE = 4, /* columns ORed between two checks whether any row is left */
  DEAL_ROWS = 64,    /* consecutive rows that go into the same part */

  /* What things cost, about a nanosecond each. */
  COST_ROW = 8,
  COST_BITMAP = 40, /* of a row far from the last */
  COST_BIT = 3,
  COST_LOOK = 3,
};

/* The columns of a part, bytes at most: beyond the cache there is nothing to be won. */
#define COLUMNS_MAX (16 * MIB)

#define NO_POSITION SIZE_MAX

typedef enum Phase {
  PHASE_COUNT, /* live slots of each row of the part */
  PHASE_SORT,  /* rows by occupancy, fullest first (counting sort); the too full ones are groups of one */
  PHASE_PLACE, /* columns of the pool; again each time it has shrunk by a quarter */
  PHASE_FILL,  /* frame after frame, until the pool is empty */
  PHASE_EMPTY, /* empty rows fit wherever there is a group */
  PHASE_DONE,
} Phase;

/* Live slots in ascending order; `slot` is declared in the loop's head. */
#define FOR_EACH_LIVE(slot, row, words)                                                           \
  for (size_t w_ = 0; w_ < (words); w_++)                                                         \
    for (uint64_t bits_ = (row)[w_], slot; bits_ != 0 && (slot = w_ * 64 + lowest_bit(bits_), 1); \
         bits_ &= bits_ - 1)

/* ---- Rows, parts and memory ---- */

static size_t parts_of(size_t count, size_t slots) {
  size_t most = min_size(MATCH_PART_ROWS, round_down(COLUMNS_MAX * 8 / slots, BLOCK_ROWS));
  return (count + most - 1) / most;
}

/* Rows of the longest part, in whole blocks. */
static size_t part_rows_max(size_t count, size_t slots) {
  size_t parts = parts_of(count, slots);
  if (parts == 0) return 0;
  size_t deals = (count + DEAL_ROWS - 1) / DEAL_ROWS;
  return round_up((deals + parts - 1) / parts * DEAL_ROWS, BLOCK_ROWS);
}

/* Neighbouring rows are dealt out to all parts, lest one part gets all that are full. */
static size_t part_rows(const MeshMatch *m) {
  size_t deals = (m->count + DEAL_ROWS - 1) / DEAL_ROWS;
  if (m->part >= deals) return 0;
  size_t mine = (deals - m->part + m->parts - 1) / m->parts;
  size_t last = (m->part + (mine - 1) * m->parts + 1) * DEAL_ROWS;
  return mine * DEAL_ROWS - (last > m->count ? last - m->count : 0);
}

/* The caller's index of a row of the part. */
static size_t row_index(const MeshMatch *m, size_t row) {
  return (row / DEAL_ROWS * m->parts + m->part) * DEAL_ROWS + row % DEAL_ROWS;
}

static const uint64_t *bitmap_of(const MeshMatch *m, size_t row) {
  return m->bitmaps + row_index(m, row) * m->words;
}

/* The next `bytes` of the memory at *at, 8-aligned. */
static void *carve(uintptr_t *at, size_t bytes) {
  void *start = (void *)*at;
  *at += round_up(bytes, 8);
  return start;
}

/* Lays out the memory that starts at `base`; returns its end. */
static uintptr_t lay_out(MeshMatch *m, uintptr_t base, size_t count, size_t slots) {
  size_t rows = part_rows_max(count, slots);
  uintptr_t at = round_up(base, CACHE_LINE);
  m->columns = carve(&at, rows / 8 * slots);
  m->alive = carve(&at, rows / 8);
  m->order = carve(&at, rows * sizeof *m->order);
  m->occupancy = carve(&at, rows * sizeof *m->occupancy);
  m->rank = carve(&at, (slots + 1) * sizeof *m->rank);
  m->demand = carve(&at, slots * sizeof *m->demand);
  m->picks = carve(&at, slots * sizeof *m->picks);
  m->best = carve(&at, slots * sizeof *m->best);
  m->taken = carve(&at, (slots + LOOKS_AT_ONCE) * sizeof *m->taken);
  m->member = carve(&at, count * sizeof *m->member);
  m->group = carve(&at, count * sizeof *m->group);
  return at;
}

size_t mesh_match_memory(size_t count, size_t slots) {
  MeshMatch m;
  return lay_out(&m, 0, count, slots) + CACHE_LINE - 8; /* the caller aligns to 8, we to a line */
}

static void begin_part(MeshMatch *m) {
  m->rows = m->part < m->parts ? part_rows(m) : 0;
  m->phase = m->rows != 0 ? PHASE_COUNT : PHASE_DONE;
  m->cursor = 0;
  m->least = m->slots;
  for (size_t k = 0; k <= m->slots; k++) m->rank[k] = 0;
}

void mesh_match_begin(MeshMatch *m, void *memory, const uint64_t *bitmaps, size_t count, size_t slots) {
  lay_out(m, (uintptr_t)memory, count, slots);
  m->bitmaps = bitmaps;
  m->count = count;
  m->slots = slots;
  m->words = bitmap_words(slots);
  m->grouped = m->groups = 0;
  m->parts = parts_of(count, slots);
  m->part = 0;
  begin_part(m);
}

/* Reports a row of the part as a member of the last group; as the leader of a new one if it `leads`. */
static void report(MeshMatch *m, size_t row, bool leads) {
  size_t index = row_index(m, row);
  if (leads) {
    m->last_leader = (uint32_t)index;
    m->groups++;
  }
  m->member[m->grouped++] = (uint32_t)index;
  m->group[index] = m->last_leader;
}

/* ---- Counting sort by occupancy ---- */

/* rank[k]: number of rows with k live slots. */
static void count_rows(MeshMatch *m) {
  for (; m->credit > 0 && m->cursor < m->rows; m->cursor++) {
    size_t live = bitmap_count(bitmap_of(m, m->cursor), m->slots);
    m->occupancy[m->cursor] = (uint16_t)live;
    m->rank[live]++;
    if (live != 0) m->least = min_size(m->least, live);
    m->credit -= COST_ROW + (int64_t)m->words * 2;
  }
  if (m->cursor < m->rows) return;

  /* From numbers to first places, fullest first; the empty ones are last and not in the pool. */
  size_t place = 0;
  for (size_t k = m->slots; k > 0; k--) {
    size_t here = m->rank[k];
    m->rank[k] = (uint32_t)place;
    if (k + m->least <= m->slots) place += here;
  }
  m->placed = m->left = place;
  m->sorted = place + m->rank[0];
  m->rank[0] = (uint32_t)place;
  m->cursor = 0;
  m->phase = PHASE_SORT;
}

static void begin_placing(MeshMatch *m) {
  m->source = 0;
  m->waiting = m->alive[0];
  m->placed = m->blocks = 0;
  for (size_t s = 0; s < m->slots; s++) m->demand[s] = 0;
  m->phase = PHASE_PLACE;
}

static void sort_rows(MeshMatch *m) {
  for (; m->credit > 0 && m->cursor < m->rows; m->cursor++) {
    size_t live = m->occupancy[m->cursor];
    if (live + m->least <= m->slots) {
      m->order[m->rank[live]++] = (uint32_t)m->cursor;
    } else {
      report(m, m->cursor, true);
    }
    m->credit -= COST_ROW;
  }
  if (m->cursor < m->rows) return;

  for (size_t w = 0; w * 64 < m->rows; w++) {
    m->alive[w] = w * 64 < m->placed ? bitmap_word_mask(m->placed, w) : 0;
  }
  m->cursor = m->placed; /* where the empty rows start in `order` */
  begin_placing(m);
}

/* ---- The pool ---- */

static void pool_remove(MeshMatch *m, size_t position) {
  bitmap_clear(m->alive, position);
  m->left--;
}

static void pool_put_back(MeshMatch *m, size_t position) {
  bitmap_set(m->alive, position);
  m->left++;
}

/* Appends a row, which has no more live slots than those before. */
static void place_row(MeshMatch *m, uint32_t row) {
  size_t position = m->placed++, block = position / BLOCK_ROWS, bit = position % BLOCK_ROWS;
  uint64_t *columns = m->columns + block * m->slots * BLOCK_WORDS;
  if (bit == 0) {
    for (size_t w = 0; w < m->slots * BLOCK_WORDS; w++) columns[w] = 0;
    m->blocks++;
    m->credit -= (int64_t)m->slots * COST_LOOK;
  }
  if (bit % 64 == 0) m->alive[position / 64] = 0; /* never ahead of m->source */
  bitmap_set(m->alive, position);
  m->order[position] = row;
  const uint64_t *bitmap = bitmap_of(m, row);
  FOR_EACH_LIVE(slot, bitmap, m->words) {
    bitmap_set(columns + slot * BLOCK_WORDS, bit);
    m->demand[slot]++;
  }
  m->credit -= COST_BITMAP + (int64_t)m->occupancy[row] * COST_BIT;
}

/* rank[k]: first block with a row of at most k live slots. */
static void rank_blocks(MeshMatch *m) {
  size_t k = m->slots + 1;
  for (size_t b = 0; b < m->blocks; b++) {
    size_t last = min_size((b + 1) * BLOCK_ROWS, m->placed) - 1;
    size_t fewest = m->occupancy[m->order[last]];
    while (k > fewest) m->rank[--k] = (uint32_t)b;
  }
  while (k > 0) m->rank[--k] = (uint32_t)m->blocks;
}

/* Position of the first row of the block that fits the frame, or NO_POSITION. */
static size_t first_fit(MeshMatch *m, size_t block) {
  const uint64_t *columns = m->columns + block * m->slots * BLOCK_WORDS;
  uint64_t blocked[BLOCK_WORDS], all = ~(uint64_t)0;
  for (size_t w = 0; w < BLOCK_WORDS; w++) {
    blocked[w] = ~m->alive[block * BLOCK_WORDS + w];
    all &= blocked[w];
  }
  size_t looked = 0;
  while (all != ~(uint64_t)0 && looked < m->used) {
    const uint64_t *a = columns + m->taken[looked] * BLOCK_WORDS;
    const uint64_t *b = columns + m->taken[looked + 1] * BLOCK_WORDS;
    const uint64_t *c = columns + m->taken[looked + 2] * BLOCK_WORDS;
    const uint64_t *d = columns + m->taken[looked + 3] * BLOCK_WORDS;
    all = ~(uint64_t)0;
    for (size_t w = 0; w < BLOCK_WORDS; w++) {
      blocked[w] |= a[w] | b[w] | c[w] | d[w];
      all &= blocked[w];
    }
    looked += LOOKS_AT_ONCE;
  }
  m->looks += looked + 1;
  m->credit -= (int64_t)(looked + 1) * COST_LOOK;
  if (all == ~(uint64_t)0) return NO_POSITION;
  size_t w = 0;
  while (blocked[w] == ~(uint64_t)0) w++;
  return block * BLOCK_ROWS + w * 64 + lowest_bit(~blocked[w]);
}

/* ---- Filling a frame ---- */

/* So that first_fit may look at whole batches: to look at a column twice changes nothing. */
static void pad_taken(MeshMatch *m) {
  for (size_t i = 0; i < LOOKS_AT_ONCE; i++) m->taken[m->used + i] = m->taken[m->used - 1];
}

/* Takes the row out of the pool and its slots into the frame; the next row has to fit what is free now. */
static void add_to_frame(MeshMatch *m, size_t position) {
  const uint64_t *bitmap = bitmap_of(m, m->order[position]);
  FOR_EACH_LIVE(slot, bitmap, m->words) m->taken[m->used++] = (uint16_t)slot;
  pad_taken(m);
  pool_remove(m, position);
  m->block = max_size(m->block, m->rank[m->slots - m->used]);
  m->credit -= COST_BITMAP;
}

/* Puts the leader's slots that most rows need first: where one is live in nearly all rows, as the slot of
 * an object that every span begins with may be, the first look tells that nothing fits. */
static void most_wanted_first(MeshMatch *m) {
  for (size_t i = 0; i < min_size(LOOKS_AT_ONCE, m->used); i++) {
    size_t most = i;
    for (size_t j = i + 1; j < m->used; j++)
      if (m->demand[m->taken[j]] > m->demand[m->taken[most]]) most = j;
    uint16_t slot = m->taken[i];
    m->taken[i] = m->taken[most];
    m->taken[most] = slot;
  }
  pad_taken(m);
}

static void begin_frame(MeshMatch *m) {
  m->leader = bitmap_next(m->alive, m->placed, m->leader);
  m->used = 0;
  m->block = m->leader / BLOCK_ROWS;
  add_to_frame(m, m->leader);
  most_wanted_first(m);
  if (m->demand[m->taken[0]] == m->left + 1) m->block = m->blocks; /* all others need this slot too */
  m->leader_used = m->used;
  m->tries = 1;
  m->picked = m->best_picked = 0;
  m->best_score = 0;
  m->looks = 0;
}

/* What a filling is worth: its slots, each weighed by the number of rows left that need it. */
static uint64_t filling_score(const MeshMatch *m) {
  uint64_t score = 0;
  for (size_t i = m->leader_used; i < m->used; i++) score += m->demand[m->taken[i]];
  return score;
}

/* Starts over, as if the first pick of the filling that just ended did not exist. */
static void begin_filling(MeshMatch *m) {
  size_t first = m->hidden[m->tries++ - 1];
  pool_remove(m, first);
  m->used = m->leader_used;
  pad_taken(m);
  m->block = first / BLOCK_ROWS;
  m->picked = 0;
}

/* Keeps the filling if it is the best. Returns whether another may be better and is not too dear. */
static bool end_filling(MeshMatch *m) {
  for (size_t i = 0; i < m->picked; i++) pool_put_back(m, m->picks[i]);
  if (m->picked != 0) m->hidden[m->tries - 1] = m->picks[0];
  bool more = m->picked != 0 && m->used < m->slots && m->tries < MATCH_TRIES &&
              m->looks < m->slots * MATCH_LOOKS_PER_SLOT;
  uint64_t score = filling_score(m);
  m->credit -= (int64_t)m->used;
  if (score > m->best_score) {
    uint32_t *worse = m->best;
    m->best = m->picks;
    m->picks = worse;
    m->best_picked = m->picked;
    m->best_score = score;
  }
  return more;
}

static void report_from_pool(MeshMatch *m, size_t position, bool leads) {
  uint32_t row = m->order[position];
  const uint64_t *bitmap = bitmap_of(m, row);
  FOR_EACH_LIVE(slot, bitmap, m->words) m->demand[slot]--;
  report(m, row, leads);
  m->credit -= COST_BITMAP + (int64_t)m->occupancy[row] * COST_BIT;
}

static void end_frame(MeshMatch *m) {
  for (size_t i = 0; i + 1 < m->tries; i++) pool_put_back(m, m->hidden[i]);
  report_from_pool(m, m->leader, true);
  for (size_t i = 0; i < m->best_picked; i++) {
    pool_remove(m, m->best[i]);
    report_from_pool(m, m->best[i], false);
  }
}

/* What to do when no frame is being filled. */
static void next_frame(MeshMatch *m) {
  if (m->left == 0) {
    m->phase = PHASE_EMPTY;
  } else if (m->blocks > 1 && m->left * 4 < m->placed * 3) {
    begin_placing(m);
  } else {
    begin_frame(m);
  }
}

static void place_rows(MeshMatch *m) {
  while (m->credit > 0 && m->placed < m->left) {
    while (m->waiting == 0) m->waiting = m->alive[++m->source];
    size_t position = m->source * 64 + lowest_bit(m->waiting);
    m->waiting &= m->waiting - 1;
    place_row(m, m->order[position]);
  }
  if (m->placed < m->left) return;

  for (size_t w = (m->placed + 63) / 64; w < m->blocks * BLOCK_WORDS; w++) m->alive[w] = 0;
  rank_blocks(m);
  m->leader = 0;
  m->phase = PHASE_FILL;
  next_frame(m);
}

static void fill_frames(MeshMatch *m) {
  while (m->credit > 0 && m->phase == PHASE_FILL) {
    if (m->block < m->blocks) {
      size_t position = first_fit(m, m->block);
      if (position == NO_POSITION) {
        m->block++;
      } else {
        m->picks[m->picked++] = (uint32_t)position;
        add_to_frame(m, position);
      }
    } else if (end_filling(m)) {
      begin_filling(m);
    } else {
      end_frame(m);
      next_frame(m);
    }
  }
}

static void join_empty_rows(MeshMatch *m) {
  for (; m->credit > 0 && m->cursor < m->sorted; m->cursor++) {
    report(m, m->order[m->cursor], m->groups == 0);
    m->credit -= COST_ROW;
  }
  if (m->cursor < m->sorted) return;
  m->part++;
  begin_part(m);
}

bool mesh_match_step(MeshMatch *m, size_t budget) {
  m->credit = (int64_t)min_size(max_size(budget, 1), INT64_MAX);
  while (m->credit > 0 && m->phase != PHASE_DONE) {
    switch ((Phase)m->phase) {
      case PHASE_COUNT:
        count_rows(m);
        break;
      case PHASE_SORT:
        sort_rows(m);
        break;
      case PHASE_PLACE:
        place_rows(m);
        break;
      case PHASE_FILL:
        fill_frames(m);
        break;
      case PHASE_EMPTY:
        join_empty_rows(m);
        break;
      case PHASE_DONE:
        break;
    }
  }
  return m->phase == PHASE_DONE;
}

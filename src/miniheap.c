#include "miniheap.h"

#include <string.h>

#include "meta.h"

static size_t bitmap_bytes(const SizeClass *sc) { return bitmap_words(sc->slots) * sizeof(uint64_t); }

bool miniheap_init(MiniHeap *mh, uint32_t page, unsigned size_class) {
  const SizeClass *sc = &size_classes[size_class];
  *mh = (MiniHeap){.bin = BIN_NONE, .size_class = size_class, .leader = page, .group_next = page};
  if (sc->slots <= 64) return true;
  mh->words = meta_alloc(bitmap_bytes(sc));
  if (mh->words == NULL) return false;
  memset(mh->words, 0, bitmap_bytes(sc));
  return true;
}

void miniheap_end(MiniHeap *mh) {
  const SizeClass *sc = miniheap_class(mh);
  if (sc->slots > 64) meta_free(mh->words, bitmap_bytes(sc));
}

/* `want` bits of `free_bits`, which has `n` of them, each subset equally likely (selection sampling,
 * Knuth 3.4.2 S). */
static uint64_t choose_bits(uint64_t free_bits, size_t *n, size_t *want, Rng *rng) {
  uint64_t chosen = 0;
  for (; free_bits != 0; free_bits &= free_bits - 1, (*n)--) {
    if (rng_below(rng, (uint32_t)*n) >= *want) continue;
    chosen |= free_bits & -free_bits;
    (*want)--;
  }
  return chosen;
}

size_t miniheap_take(MiniHeap *mh, char *base, void **out, size_t room, Rng *rng) {
  const SizeClass *sc = miniheap_class(mh);
  const size_t size = sc->size;
  uint64_t *bitmap = miniheap_bitmap(mh, sc);
  size_t n = sc->slots - mh->live, want = min_size(n, room), taken = want;
  const bool all = want == n;
  size_t place = rng_below(rng, (uint32_t)want); /* of the lowest slot; the others go round below it */
  for (size_t w = 0; want > 0; w++) {
    uint64_t bits = ~bitmap[w] & bitmap_word_mask(sc->slots, w);
    if (!all)
      bits = choose_bits(bits, &n, &want, rng);
    else
      want -= popcount64(bits);
    bitmap[w] |= bits;
    for (; bits != 0; bits &= bits - 1) {
      out[place] = base + (w * 64 + lowest_bit(bits)) * size;
      place = (place > 0 ? place : taken) - 1;
    }
  }
  mh->live = (uint16_t)(mh->live + taken);
  return taken;
}

void miniheap_assert_state(MiniHeap *mh) {
  if (!MESH_DEBUG) return;
  const SizeClass *sc = miniheap_class(mh);
  check_debug(mh->size_class >= CLASS_FIRST && mh->size_class < CLASS_END);
  check_debug(mh->offset == 0);
  check_debug(bitmap_count(miniheap_bitmap(mh, sc), sc->slots) == mh->live);
  check_debug(mh->bin == BIN_NONE || mh->bin < SPAN_BINS);
}

#include "miniheap.h"

#include <string.h>

void miniheap_init(MiniHeap *mh, uint32_t page, unsigned size_class) {
  const SizeClass *sc = &size_classes[size_class];
  mh->next = mh->prev = 0;
  mh->frame = 0;
  mh->offset = 0;
  mh->trimmed = 0;
  mh->size_class = (uint8_t)size_class;
  mh->bin = BIN_NONE;
  mh->live = 0;
  mh->slots = (uint16_t)sc->slots;
  mh->stamp = 0;
  mh->group_next = mh->leader = page;
  memset(mh->bitmap, 0, bitmap_words(sc->slots) * sizeof(uint64_t));
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
  const size_t size = size_classes[mh->size_class].size;
  size_t n = (size_t)(mh->slots - mh->live), want = min_size(n, room), taken = want;
  const bool all = want == n;
  size_t place = rng_below(rng, (uint32_t)want); /* of the lowest slot; the others go round below it */
  for (size_t w = 0; want > 0; w++) {
    uint64_t bits = ~mh->bitmap[w] & bitmap_word_mask(mh->slots, w);
    if (!all)
      bits = choose_bits(bits, &n, &want, rng);
    else
      want -= popcount64(bits);
    mh->bitmap[w] |= bits;
    for (; bits != 0; bits &= bits - 1) {
      out[place] = base + (w * 64 + lowest_bit(bits)) * size;
      place = (place > 0 ? place : taken) - 1;
    }
  }
  mh->live = (uint16_t)(mh->live + taken);
  return taken;
}

void miniheap_assert_state(const MiniHeap *mh) {
  if (!MESH_DEBUG) return;
  check_debug(mh->size_class >= CLASS_FIRST && mh->size_class < CLASS_END);
  check_debug(mh->offset == 0 && mh->slots == size_classes[mh->size_class].slots);
  check_debug(bitmap_count(mh->bitmap, mh->slots) == mh->live);
  check_debug(mh->bin == BIN_NONE || mh->bin < SPAN_BINS);
}

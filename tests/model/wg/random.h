/*
 * Randomness of the models: another seed each time, printed; WARREN_SEED fixes it.
 */
#ifndef TESTS_MODEL_WG_RANDOM_H
#define TESTS_MODEL_WG_RANDOM_H

#include <stdint.h>

void random_begin(void);
uint64_t random_below(uint64_t n);
/* Its own stream, for a thread. */
uint64_t random_step(uint64_t *state);

#endif

// Augmentation: what a net that judges sees of items, changed at random by the same laws for real items and fakes, in
// each pass anew (core/augment.h). Gradients flow through the changes, to G and into penalties on the items themselves.
//
//   p   the probability of each change, times its share: a number, a schedule, or moved by the controller
#ifndef DUEL_GAN_AUGMENT_H
#define DUEL_GAN_AUGMENT_H

#include "gan/step.h"

extern const duel_kind duel_augment_kind; // the section `augment`

// The net's passes in training see changed items, if the recipe says so. USAGE where items cannot be changed so.
duel_status duel_augment_declare(duel_model *m, int net);

// Items x [rows, C, H, W] of a shard, changed as training-mode forward number `pass` of the step sees them.
duel_val duel_step_augment(duel_step *s, duel_val x, int pass);
// The same by the laws of consistency regularization: flips by chance, shifts by up to an eighth of the side, with
// pixels reflected at the border.
duel_val duel_step_transform(duel_step *s, duel_val x, int pass);

// The controller (Karras et al. 2020, arXiv:2006.06676, section 3.1). watch: in each shard of each sub-step, what D
// yields of real items; move: behind the last pass of the step. Both do nothing where p is not its.
void duel_augment_watch(duel_step *s, duel_val on_real);
void duel_augment_move(duel_step *s);

#endif

// The keys of a recipe: one table that the reader, the writer and the listing of keys share. A new key is one line here
// and one field in duel_recipe; layers have their own table (duel_layer_kinds).
#include <math.h>
#include <string.h>

#include "recipe/parts.h"

const duel_section duel_sections[] = {
    {"recipe", NULL, false},  {"base", NULL, false},   {"data", "path", true},  {"vars", NULL, true},
    {"latent", NULL, false},  {"G", NULL, false},      {"D", NULL, false},      {"init", "name", true},
    {"loss", "name", true},   {"penalty", NULL, true}, {"optim", "name", true}, {"ema", "half_life", true},
    {"augment", NULL, true},  {"train", NULL, true},   {"eval", NULL, true},    {"output", NULL, true},
    {"run", "backend", true}, {.name = NULL},
};

#define AT(member) offsetof(duel_recipe, member)
#define OPTIM(member) offsetof(duel_optim, member)
#define ANY                                                                                                            \
  { 0, 0, false, false }
#define FROM(low, high)                                                                                                \
  { (low), (high), false, false }
#define SHARE                                                                                                          \
  { 0, 1, false, true } // 1 itself is out
#define POSITIVE(high)                                                                                                 \
  { 0, (high), true, false }

const duel_field duel_fields[] = {
    {"data", "path", DUEL_FIELD_TEXT, NULL, ANY, NULL, AT(data.path), NULL, "data set: a name, a file or a folder"},
    {"data", "limit", DUEL_FIELD_INT64, "0", FROM(0, 0x1p40), NULL, AT(data.limit), NULL, "first N items only; 0: all"},
    {"data", "size", DUEL_FIELD_EXTENT, "0", FROM(1, 16384), NULL, AT(data.size), NULL,
     "height and width that images are resized to; 0: as they are"},
    {"data", "crop", DUEL_FIELD_CHOICE, "center", ANY, "none|center", AT(data.crop), NULL,
     "images of other proportions than size are cropped, or stretched"},
    {"data", "channels", DUEL_FIELD_CHOICE, "auto", ANY, "auto|1|3", AT(data.channels), NULL,
     "1 grey, 3 RGB; auto: as the images are, 3 if some have color"},
    {"latent", "", DUEL_FIELD_INT64, NULL, FROM(1, 1 << 24), NULL, AT(latent), NULL, "numbers that G starts from"},
    {"loss", "name", DUEL_FIELD_WORD, "bce", ANY, NULL, AT(loss.name), NULL, "what both players optimise"},
    {"loss", "label_smoothing", DUEL_FIELD_NUMBER, "0", SHARE, NULL, AT(loss.label_smoothing), NULL,
     "the target of real items is 1 minus this"},
    {"penalty", "", DUEL_FIELD_LATER, NULL, ANY, NULL, 0, NULL, NULL},
    {"optim", "name", DUEL_FIELD_CHOICE, "adam", ANY, "sgd|adam", OPTIM(adam), NULL, "optimizer"},
    {"optim", "lr", DUEL_FIELD_SCHEDULE, "0.0002", FROM(0, 1e6), NULL, OPTIM(lr), NULL, "learning rate"},
    {"optim", "betas", DUEL_FIELD_PAIR, "[0.9, 0.999]", SHARE, NULL, OPTIM(betas), "adam", "decay of the two moments"},
    {"optim", "eps", DUEL_FIELD_NUMBER, "1.0e-8", POSITIVE(1), NULL, OPTIM(eps), "adam",
     "added to the root of the second moment"},
    {"optim", "momentum", DUEL_FIELD_NUMBER, "0", SHARE, NULL, OPTIM(momentum), "sgd",
     "share of the last move that goes on"},
    {"optim", "weight_decay", DUEL_FIELD_NUMBER, "0", FROM(0, 1e6), NULL, OPTIM(weight_decay), NULL,
     "decoupled: weights shrink by lr times this"},
    {"ema", "half_life", DUEL_FIELD_LENGTH, NULL, POSITIVE(0), NULL, AT(net[DUEL_G].ema.half_life), NULL,
     "moving average of G: how long until half of it is new; without ema none is kept"},
    {"augment", "", DUEL_FIELD_LATER, NULL, ANY, NULL, 0, NULL, NULL},
    {"train", "length", DUEL_FIELD_LENGTH, NULL, POSITIVE(0), NULL, AT(train.length), NULL, "when to stop"},
    {"train", "batch", DUEL_FIELD_INT64, "64", FROM(1, 1 << 20), NULL, AT(train.batch), NULL, "items a pass"},
    {"train", "d_steps", DUEL_FIELD_INT, "1", FROM(1, 1000), NULL, AT(train.d_steps), NULL, "rounds of D for one of G"},
    {"train", "d_update", DUEL_FIELD_CHOICE, "joint", ANY, "separate|joint", AT(train.joint), NULL,
     "D moves once for real and fake together, or once for each"},
    {"train", "latents", DUEL_FIELD_CHOICE, "shared", ANY, "fresh|shared", AT(train.shared), NULL,
     "G learns from the fakes that D just saw, or from fresh ones"},
    {"train", "seed", DUEL_FIELD_SEED, "0", ANY, NULL, AT(train.seed), NULL, "of all random draws"},
    {"eval", "", DUEL_FIELD_LATER, NULL, ANY, NULL, 0, NULL, NULL},
    {"output", "sample", DUEL_FIELD_LENGTH, "1 epoch", ANY, NULL, AT(output.sample), NULL, "between pictures; 0: none"},
    {"output", "checkpoint", DUEL_FIELD_LENGTH, "1 epoch", ANY, NULL, AT(output.checkpoint), NULL,
     "between checkpoints; 0: the first and last only"},
    {"output", "keep", DUEL_FIELD_INT, "3", FROM(1, 1e6), NULL, AT(output.keep), NULL, "newest checkpoints kept"},
    {"output", "tick", DUEL_FIELD_LENGTH, "10 kimg", POSITIVE(0), NULL, AT(output.tick), NULL,
     "between lines of statistics"},
    {"run", "backend", DUEL_FIELD_WORD, "auto", ANY, "auto|cpu|cuda", AT(run.backend), NULL, "what computes"},
    {"run", "device", DUEL_FIELD_INT, "0", FROM(0, 1023), NULL, AT(run.device), NULL, "which GPU"},
    {"run", "threads", DUEL_FIELD_INT, "0", FROM(0, 1024), NULL, AT(run.threads), NULL, "0: what the machine allows"},
    {"run", "precision", DUEL_FIELD_WORD, "auto", ANY, "auto|fp32|tf32|bf16", AT(run.precision), NULL,
     "of matrix products; auto: tf32 on GPUs, fp32 elsewhere"},
    {"run", "capture", DUEL_FIELD_CHOICE, "on", ANY, "off|on", AT(run.capture), NULL,
     "CUDA: a step is captured once and replayed; off: call by call, for debugging"},
    {"run", "data_memory", DUEL_FIELD_BYTES, "auto", FROM(1, HUGE_VAL), NULL, AT(run.data_memory), NULL,
     "a larger set is streamed from a file, as in 64M, 2G; auto: half of what is free"},
    {.section = NULL},
};

const duel_init_kind duel_init_kinds[] = {
    {"torch", "PyTorch's own: uniform in ±1/sqrt(fan_in)", {NULL, NULL}},
    {"glorot_uniform", "uniform in ±sqrt(6/(fan_in + fan_out))", {NULL, NULL}},
    {"glorot_normal", "normal, variance 2/(fan_in + fan_out)", {NULL, NULL}},
    {"he_normal", "normal, variance 2/fan_in", {NULL, NULL}},
    {"normal", "normal with mean and std", {"mean", "std"}},
    {"zeros", "all 0", {NULL, NULL}},
    {"constant", "all value", {"value", NULL}},
    {.name = NULL},
};

double *duel_init_number(duel_init *init, const char *key) {
  return !strcmp(key, "mean") ? &init->mean : !strcmp(key, "std") ? &init->std : &init->value;
}

const duel_section *duel_section_find(const char *name) {
  for (const duel_section *s = duel_sections; s->name; s++)
    if (!strcmp(s->name, name)) return s;
  return NULL;
}

const char *duel_field_choices(const duel_field *field) {
  bool loss = !strcmp(field->section, "loss") && field->type == DUEL_FIELD_WORD;
  return loss ? duel_loss_names() : field->choices; // losses have their own table
}

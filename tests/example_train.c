// duel.h used alone: trains a recipe for ten steps and writes a grid. Arguments: recipe, data, picture.
#include <duel.h>
#include <stdio.h>

static duel_status train(const char *recipe, const char *data, const char *picture) {
  duel_run *run;
  DUEL_TRY(duel_run_open(&run, &(duel_run_options){.recipe = recipe, .data = data}));
  duel_status status = duel_run_advance(run, 10);
  duel_stats stats;
  if (status == DUEL_OK) status = duel_run_stats(run, &stats);
  if (status == DUEL_OK) {
    duel_run_info info = duel_run_describe(run);
    printf("%s on %s: step %lld, D loss %.4f, G loss %.4f\n", info.recipe, info.device, (long long)stats.step,
           duel_run_scalar(run, "d_loss"), duel_run_scalar(run, "g_loss"));
    status = duel_generate_png(run, picture, 8, 8, 0);
  }
  duel_run_close(run);
  return status;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: example_train RECIPE DATA PICTURE.png\n");
    return DUEL_ERR_USAGE;
  }
  duel_status status = train(argv[1], argv[2], argv[3]);
  if (status != DUEL_OK) fprintf(stderr, "error: %s\n", duel_last_error());
  return status;
}

#include "harness/products.h"

#include <cstdlib>
#include <filesystem>

#include "harness/hash.h"
#include "models/error.h"

namespace rattn {

std::string CacheFolder() {
  if (const char* cache = std::getenv("RATTN_CACHE")) return cache;
  if (const char* cache = std::getenv("XDG_CACHE_HOME")) {
    return std::string(cache) + "/rattn";
  }
  if (const char* home = std::getenv("HOME")) {
    return std::string(home) + "/.cache/rattn";
  }
  throw UserError("no cache folder: set RATTN_CACHE");
}

std::string ProductsFolder() { return CacheFolder() + "/products"; }

Json ProductKey(const TrainingSpec& training, const Task& task) {
  Json model = Json::parse(ToJson(training.model));
  model.erase("name");
  model.erase("source");
  const TrainOptions& o = training.options;
  return {{"version", RATTN_VERSION},
          {"model", model},
          {"data", task.Fingerprint()},
          {"options",
           {{"steps", o.steps},
            {"batch", o.batch},
            {"lr", o.lr},
            {"lr_end", o.lr_end},
            {"warmup", o.warmup},
            {"beta1", o.beta1},
            {"beta2", o.beta2},
            {"weight_decay", o.weight_decay},
            {"clip", o.clip},
            {"seed", o.seed}}},
          {"execution",
           {{"backend", training.execution.backend},
            {"dtype", training.execution.dtype},
            {"threads", training.execution.threads}}}};
}

std::string ProductFolder(const std::string& products,
                          const TrainingSpec& training, const Task& task) {
  return (std::filesystem::path(products) /
          HashJson(ProductKey(training, task)))
      .string();
}

}  // namespace rattn

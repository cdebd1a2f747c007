# rattn_embed_default_sweep(TARGET): compiles the default sweep into TARGET
# (harness/default_sweep.h).
function(rattn_embed_default_sweep target)
  set(config ${PROJECT_SOURCE_DIR}/configs/quick.json)
  if(NOT EXISTS ${config})
    set(config ${PROJECT_SOURCE_DIR}/configs/smoke.json)
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${config})
  file(READ ${config} text)
  set(output ${PROJECT_BINARY_DIR}/generated/default_sweep.cc)
  file(CONFIGURE OUTPUT ${output} @ONLY CONTENT
"#include \"harness/default_sweep.h\"
namespace rattn {
const std::string_view kDefaultSweep = R\"~json(@text@)~json\";
}  // namespace rattn
")
  target_sources(${target} PRIVATE ${output})
endfunction()

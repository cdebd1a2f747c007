# Layers are folders: every .cc of a folder belongs to its library, but for
# main.cc and the tests, which are found by their suffix:
#   x_test.cc          label unit      x_numeric_test.cc  label numeric
#   x_train_test.cc    label train     x_slow_test.cc     label slow
#   x_gpu_test.cc      label gpu

add_library(rattn_warnings INTERFACE)
target_compile_options(rattn_warnings INTERFACE -Wall -Wextra -Werror)

add_library(rattn_options INTERFACE)
target_include_directories(rattn_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(rattn_options INTERFACE
  RATTN_VERSION="${PROJECT_VERSION}"
  RATTN_COMPILER="${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}"
  RATTN_BUILD_TYPE="${CMAKE_BUILD_TYPE}")
if(RATTN_SANITIZE)
  # The checks left out are those of every pointer used: they cost half as much
  # compile time again as all others, and ASan sees the accesses themselves.
  target_compile_options(rattn_options INTERFACE
    -fsanitize=address,undefined
    -fno-sanitize=null,vptr,object-size,alignment,nonnull-attribute
    -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(rattn_options INTERFACE -fsanitize=address,undefined)
endif()
if(RATTN_FUZZ)
  target_compile_options(rattn_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# rattn_library(NAME KIND FOLDER...): no target if the folders hold no sources.
function(rattn_library name kind)
  set(sources)
  foreach(folder ${ARGN})
    file(GLOB found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cc)
    list(FILTER found EXCLUDE REGEX "(_test|/main)\\.cc$")
    list(APPEND sources ${found})
  endforeach()
  if(NOT sources)
    return()
  endif()
  add_library(${name} ${kind} ${sources})
  target_link_libraries(${name} PUBLIC rattn_options PRIVATE rattn_warnings)
endfunction()

# rattn_tests(PREFIX LIBRARY FOLDER...): one program per label.
function(rattn_tests prefix library)
  if(NOT TARGET ${library})
    return()
  endif()
  set(all)
  foreach(folder ${ARGN})
    file(GLOB found CONFIGURE_DEPENDS
         ${PROJECT_SOURCE_DIR}/${folder}/*_test.cc)
    list(APPEND all ${found})
  endforeach()
  foreach(label numeric train slow gpu unit)
    set(sources ${all})
    if(label STREQUAL "unit")
      set(sources ${all})
    else()
      list(FILTER sources INCLUDE REGEX "_${label}_test\\.cc$")
      list(FILTER all EXCLUDE REGEX "_${label}_test\\.cc$")
    endif()
    if(NOT sources)
      continue()
    endif()
    set(program ${prefix}_${label}_tests)
    add_executable(${program} ${sources})
    target_link_libraries(${program} PRIVATE ${library} rattn_warnings
                          GTest::gtest GTest::gtest_main GTest::gmock)
    gtest_discover_tests(${program}
      TEST_PREFIX "${prefix}." DISCOVERY_TIMEOUT 120
      PROPERTIES LABELS ${label} TIMEOUT 600)
  endforeach()
endfunction()

# rattn_fuzz_targets(LIBRARY NAME...): fuzz/NAME.cc as a program that libFuzzer
# drives; in other builds as a test that replays fuzz/corpus/NAME.
function(rattn_fuzz_targets library)
  if(NOT TARGET ${library})
    return()
  endif()
  foreach(name ${ARGN})
    add_executable(fuzz_${name} ${PROJECT_SOURCE_DIR}/fuzz/${name}.cc)
    target_link_libraries(fuzz_${name} PRIVATE ${library} rattn_warnings)
    if(RATTN_FUZZ)
      target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
      continue()
    endif()
    target_sources(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR}/fuzz/replay.cc)
    add_test(NAME fuzz.${name} COMMAND fuzz_${name}
             ${PROJECT_SOURCE_DIR}/fuzz/corpus/${name})
    set_tests_properties(fuzz.${name} PROPERTIES LABELS unit TIMEOUT 600)
  endforeach()
endfunction()

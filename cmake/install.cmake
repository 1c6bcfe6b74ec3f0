# What `cmake --install` puts where: the command, duel.h, libduel.a and libduel.so, the CUDA backend where it was built, and
# the two ways to find them, pkg-config's duel.pc and CMake's find_package(duel). All of it may be moved together.
include(CMakePackageConfigHelpers)
set(DUEL_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/duel)

install(TARGETS duel RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${PROJECT_SOURCE_DIR}/include/duel.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS libduel_shared EXPORT duel LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS libduel EXPORT duel_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(DUEL_CUDA_TOOLKIT)
  install(TARGETS duel_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/duel OPTIONAL) # `ninja duel` alone builds none
endif()

file(RELATIVE_PATH DUEL_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(${CMAKE_CURRENT_LIST_DIR}/duel.pc.in duel.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/duel.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(EXPORT duel NAMESPACE duel:: FILE duelTargets.cmake DESTINATION ${DUEL_CMAKE_DIR})
install(EXPORT duel_static NAMESPACE duel:: FILE duelStatic.cmake DESTINATION ${DUEL_CMAKE_DIR})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/duelConfigVersion.cmake COMPATIBILITY SameMinorVersion)
configure_file(${CMAKE_CURRENT_LIST_DIR}/duelConfig.cmake.in duelConfig.cmake @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/duelConfig.cmake ${CMAKE_BINARY_DIR}/duelConfigVersion.cmake
        DESTINATION ${DUEL_CMAKE_DIR})

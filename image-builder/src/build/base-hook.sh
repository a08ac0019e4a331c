#!/bin/sh
# Run by mmdebstrap on the host when the packages are installed; $1 is the root. Takes what an image needs beside
# installed packages: the kernel with its modules, without the scripts that would make an initramfs, and the boot
# loaders. BRANT_KERNEL is the kernel's metapackage; BRANT_UNWANTED_MODULES lists paths below `kernel/`.
set -eu
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
debs="$1/.brant/debs"
mkdir -p "$debs"
cd "$debs"

image=$(apt-cache depends --important "$BRANT_KERNEL" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
if [ -z "$image" ]; then
    echo "E: $BRANT_KERNEL depends on no kernel image" >&2
    exit 1
fi
apt-get --quiet=2 -o APT::Sandbox::User=root download \
    "$image" isolinux syslinux-common grub-efi-amd64-signed shim-signed shim-helpers-amd64-signed
for deb in *.deb; do
    dpkg-deb --extract "$deb" "$1/.brant/files"
done
rm -r "$debs"

files="$1/.brant/files"
mkdir -p "$1/usr/lib/modules"
for modules in "$files"/usr/lib/modules/* "$files"/lib/modules/*; do
    [ -d "$modules" ] || continue
    version="${modules##*/}"
    mv "$modules" "$1/usr/lib/modules/"
    for unwanted in $BRANT_UNWANTED_MODULES; do
        rm -rf "$1/usr/lib/modules/$version/kernel/$unwanted" "$1/usr/lib/modules/$version/kernel/$unwanted".ko*
    done
    chroot "$1" depmod "$version"
done

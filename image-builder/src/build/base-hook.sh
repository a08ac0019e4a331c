#!/bin/sh
# Run by mmdebstrap on the host when the packages are installed; $1 is the root. Takes what an image needs beside
# installed packages: the kernel with its modules, without the scripts that would make an initramfs, and the boot
# loaders. BRANT_KERNEL is the kernel's metapackage; BRANT_UNWANTED_MODULES lists paths below `kernel/`;
# BRANT_MEMORY_TEST is memtest86+ or nothing; BRANT_FIRMWARE_FILES lists what is taken out of BRANT_FIRMWARE_PACKAGES, below /usr/lib/firmware.
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
    "$image" isolinux pxelinux syslinux-common grub-efi-amd64-signed shim-signed shim-helpers-amd64-signed \
    $BRANT_MEMORY_TEST $BRANT_FIRMWARE_PACKAGES
for deb in *.deb; do
    dpkg-deb --extract "$deb" "$1/.brant/files"
done
# Name, version, architecture and digest of each package, also of those that only gave files.
{
    chroot "$1" dpkg-query --show --showformat '${Package}=${Version}\n'
    for deb in *.deb; do
        dpkg-deb --show --showformat '${Package}=${Version}\n' "$deb"
    done
} | xargs apt-cache show --no-all-versions | awk -F ': ' '
    /^Package: / { name = $2 }
    /^Version: / { version = $2 }
    /^Architecture: / { architecture = $2 }
    /^SHA256: / { print name "\t" version "\t" architecture "\t" $2 }
' | LC_ALL=C sort -u > "$1/.brant/files/packages.tsv"
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

for package in $BRANT_FIRMWARE_PACKAGES; do
    mkdir -p "$1/usr/share/doc/$package"
    cp "$files/usr/share/doc/$package/copyright" "$1/usr/share/doc/$package/"
done
for wanted in $BRANT_FIRMWARE_FILES; do
    found=
    for folder in "$files/usr/lib/firmware" "$files/lib/firmware"; do
        [ -e "$folder/$wanted" ] || continue
        found=yes
        mkdir -p "$(dirname "$1/usr/lib/firmware/$wanted")"
        cp -a "$folder/$wanted" "$1/usr/lib/firmware/$wanted"
    done
    if [ -z "$found" ]; then
        echo "E: no firmware $wanted in $BRANT_FIRMWARE_PACKAGES" >&2
        exit 1
    fi
done
rm -rf "$files/usr/lib/firmware" "$files/lib/firmware"

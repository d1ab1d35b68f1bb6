//! A program that is not to be built for a wallet without a backup. It gets to see neither the key nor the shares.

fn main() {
    println!("This program's wallet is backed up.");
}
